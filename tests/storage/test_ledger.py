from dataclasses import replace

from storage.ledger import Row, ShardRecord

BEFORE_CIRCUMSTANCES = (
    rb"""{"crc32": 2612515743, "record": "{\"array\": \"net\", \"commit\": 1, \"files\": {\"k\": {\"bytes\": 1, """
    rb"""\"crc32\": 2}}, \"fingerprint\": \"ab\", \"first_clip\": 2, \"rows\": [{\"attempt\": 1, """
    rb"""\"clip_fingerprint\": \"\", \"decoder\": \"\", \"id\": \"a\", \"mtime_ns\": 0, \"reason\": \"\", """
    rb"""\"seconds\": 0.0, \"size_bytes\": 0, \"status\": \"ok\", \"stored\": true}], \"shard\": 1}"}"""
    b"\n"
)
"""A record as it was written when there were none."""


def test_circumstances_go_round_and_leave_other_records_as_they_were():
    plain = ShardRecord("net", 1, 2, "ab", 1, {"k": {"bytes": 1, "crc32": 2}}, (Row("a", "ok", stored=True),))
    assert plain.to_bytes() == BEFORE_CIRCUMSTANCES
    assert ShardRecord.from_bytes(BEFORE_CIRCUMSTANCES, where="here").circumstances == {}
    told = replace(plain, circumstances={"device": "cuda:0", "gpu": "é"})
    assert ShardRecord.from_bytes(told.to_bytes(), where="here") == told
