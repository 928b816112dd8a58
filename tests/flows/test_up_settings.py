"""What people set on a server: deployments of their own, schedules, limits, notifications, credentials."""

import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
SECRET = "never-to-be-seen"


def python(up, code):
    """Run some lines against the server."""
    done = subprocess.run(
        [sys.executable, "-c", code], env=up.environment, cwd=up.folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


READ = """
import json
from prefect.client.orchestration import get_client
with get_client(sync_client=True) as client:
    found = client.read_deployment_by_name({name!r})
print(json.dumps({{
    "crons": [item.schedule.cron for item in found.schedules],
    "limit": found.global_concurrency_limit and found.global_concurrency_limit.limit,
    "strategy": found.concurrency_options and found.concurrency_options.collision_strategy.value,
    "parameters": found.parameters, "tags": found.tags,
}}))
"""


def test_the_file_of_the_docs_makes_a_deployment(up, request):
    text = (request.config.rootpath / "docs" / "flows.md").read_text()
    example = next(block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "nightly" in block)
    (up.folder / "nightly.yaml").write_text(example)
    code = "from pathlib import Path; from flows.deployments import deploy_file; print(deploy_file(Path({!r})))"
    assert python(up, code.format("nightly.yaml")).strip() == ""
    found = json.loads(python(up, READ.format(name="extract-llp/nightly")))
    asked = yaml.safe_load(example)["deployments"][0]
    assert found == {
        "crons": ["0 3 * * *"], "limit": 1, "strategy": "CANCEL_NEW", "parameters": asked["parameters"],
        "tags": ["lab"],
    }  # fmt: skip
    (up.folder / "broken.yaml").write_text("deployments:\n  - name: x\n    entrypoint: flows.none.none\n")
    assert python(up, code.format("broken.yaml")).strip() != ""


def test_what_people_have_set_outlives_the_next_start(up):
    made = up.prefect("deployment", "schedule", "create", "train/local", "--cron", "5 4 * * *")
    assert made.returncode == 0, made.stdout + made.stderr
    limit = """
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentUpdate
with get_client(sync_client=True) as client:
    found = client.read_deployment_by_name("train/local")
    client.update_deployment(found.id, DeploymentUpdate(concurrency_limit=2, parameters={"recipe": "han"}))
"""
    python(up, limit)
    python(up, "from flows.deployments import FLOWS, deploy\ndeploy(FLOWS[4], pool='local', folder='.')")
    found = json.loads(python(up, READ.format(name="train/local")))
    assert (found["crons"], found["limit"], found["parameters"]) == (["5 4 * * *"], 2, {"recipe": "han"})
    assert found["tags"] == ["avvp", "training"]


@pytest.fixture
def webhook():
    """A server on loopback, and what it was sent."""
    said = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            said.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", said
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_failure_reaches_a_webhook_and_credentials_reach_nobody(up, webhook, six_clips):
    url, said = webhook
    python(
        up,
        f"""
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.blocks.system import Secret
from prefect.variables import Variable
body = {{"subject": "{{{{subject}}}}", "text": "{{{{body}}}}"}}
CustomWebhookNotificationBlock(name="x", url={url!r}, json_data=body).save("people", overwrite=True)
Secret(value={{"file": {{"auto_mkdir": True}}, "s3": {{"secret": {SECRET!r}}}}}).save("lab", overwrite=True)
Variable.set("avvp_notify", "custom-webhook/people", overwrite=True)
""",
    )
    done = up.run_extract(six_clips, "with.zarr", credentials="secret/lab", shard_size=3)
    assert done.returncode == 0, done.stdout + done.stderr
    assert said == []
    refused = up.run_extract(six_clips, "never.zarr", credentials="secret/none")
    assert refused.returncode == 1
    assert "no such block on the server" in " ".join(refused.stdout.split())
    (told,) = said
    assert told["subject"] == "toy_visual, toy_audio → never.zarr: Refused"
    assert told["text"].startswith("credentials 'secret/none': no such block on the server. See: prefect block ls")
    late = up.run_extract(six_clips, "late.zarr", timeout_seconds=0.02)
    assert late.returncode == 1
    assert said[1]["subject"].endswith("late.zarr: TimedOut")
    home = up.folder / ".avvp" / "prefect"
    for log in home.glob("*.log"):
        assert SECRET not in log.read_text()
    assert SECRET not in done.stdout + refused.stdout
    assert SECRET.encode() not in b"".join(file.read_bytes() for file in home.glob("prefect.db*"))
