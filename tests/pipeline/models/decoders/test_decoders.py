import pytest
import torch
from torch.nn import functional

from pipeline.models.decoders.leap import LEAPBlock, LEAPDecoder
from pipeline.models.decoders.mmil import MMILDecoder
from pipeline.models.predictions import Encoded, union_probability


@pytest.fixture
def streams():
    torch.manual_seed(1)
    return Encoded(torch.randn(2, 10, 32), torch.randn(2, 10, 32))


def leap(**options):
    torch.manual_seed(0)
    decoder = LEAPDecoder(32, classes=5, label_dim=6, feed_forward=16, heads=4, **options)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return decoder.eval()


def test_mmil_by_its_formula(streams):
    decoder = MMILDecoder(32, classes=5)
    out = decoder(streams)
    prob, time, modality = (
        functional.linear(torch.stack(streams, 2), decoder.heads.weight[i : i + 5], decoder.heads.bias[i : i + 5])
        for i in (0, 5, 10)
    )
    weighted = time.softmax(1) * prob.sigmoid()
    torch.testing.assert_close(out.audio_video, weighted[:, :, 0].sum(1))
    torch.testing.assert_close(out.visual_video, weighted[:, :, 1].sum(1))
    torch.testing.assert_close(out.union_video, (weighted * modality.softmax(2)).sum((1, 2)))
    torch.testing.assert_close(out.visual_logits, prob[:, :, 1])
    torch.testing.assert_close(out.audio_segment, prob[:, :, 0].sigmoid())


def test_mmil_union_may_exceed_one():
    decoder = MMILDecoder(2, classes=1)
    with torch.no_grad():
        decoder.heads.weight.copy_(torch.tensor([[0.0, 0.0], [0.0, 20.0], [20.0, 0.0]]))
        decoder.heads.bias.copy_(torch.tensor([20.0, 0.0, 0.0]))
    audio, visual = torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)
    audio[0, 0] = visual[0, 1] = torch.tensor([1.0, 1.0])  # each modality has its own second, and its own time
    assert decoder(Encoded(audio, visual)).union_video.item() == pytest.approx(2, abs=1e-3)


def one_of_twins(block, stream, *, norm="published"):
    """A block by itself, with the weights that one stream has."""
    alone = LEAPBlock(32, heads=4, feed_forward=16, dropout=0.2, attention_dropout=0.1, norm=norm)
    alone.load_state_dict(
        {name: tensor[stream].T if tensor.ndim == 3 else tensor[stream] for name, tensor in block.state_dict().items()}
    )
    return alone.eval()


def plain_block(block, labels, stream, heads=4):
    """One published block in words: only the query is normalised, and the scores come from a second question."""
    attention = block.attention
    q_w, q_b = attention.query.weight, attention.query.bias
    (k_w, v_w), (k_b, v_b) = attention.key_value.weight.chunk(2), attention.key_value.bias.chunk(2)

    def scores(query):
        q, k = functional.linear(query, q_w, q_b), functional.linear(stream, k_w, k_b)
        parts = zip(q.chunk(heads, -1), k.chunk(heads, -1), strict=True)
        return torch.stack([a @ b.transpose(1, 2) / (a.shape[-1] ** 0.5) for a, b in parts], 1)

    weights = scores(block.attention_norm(labels)).softmax(-1)
    values = functional.linear(stream, v_w, v_b).chunk(heads, -1)
    mixed = torch.cat([weights[:, h] @ values[h] for h in range(heads)], -1)
    updated = labels + attention.output(mixed)
    again = scores(updated)
    hidden = functional.relu(block.feed_forward[0](block.feed_forward_norm(updated)))
    return updated + block.feed_forward[3](hidden), again


def test_leap_by_its_words(streams):
    decoder = leap(blocks=2)
    labels = torch.randn(5, 6)
    out = decoder(streams, labels)
    for number, (stream, segment, video) in enumerate(
        ((streams.audio, out.audio_segment, out.audio_video), (streams.visual, out.visual_segment, out.visual_video))
    ):
        features = decoder.labels.projection(labels).expand(2, -1, -1)
        for block in decoder.blocks:
            features, scores = plain_block(one_of_twins(block, number), features, stream)
        torch.testing.assert_close(segment, scores.mean(1).transpose(1, 2).sigmoid(), atol=1e-6, rtol=0)
        logits = features @ decoder.video.weight[number] + decoder.video.bias[number]
        torch.testing.assert_close(video, logits.squeeze(-1).sigmoid(), atol=1e-6, rtol=0)
    hard = (out.audio_video >= 0.5) | (out.visual_video >= 0.5)
    torch.testing.assert_close(out.union_video, hard.float())


def test_labels_for_each_clip_are_those_for_all(streams):
    decoder, labels = leap(), torch.randn(5, 6)
    torch.testing.assert_close(
        decoder(streams, labels).audio_segment, decoder(streams, labels.expand(2, -1, -1)).audio_segment
    )


def test_which_block_is_read(streams):
    labels = torch.randn(5, 6)
    average = leap(blocks=3, output="average")
    out = average(streams, labels)
    features, found, scores = average.labels(labels), [], []
    for block in average.blocks:
        features, attention = one_of_twins(block, 0)(features, streams.audio)
        found.append(features)
        scores.append(attention)
    torch.testing.assert_close(out.label_features.audio, torch.stack(found).mean(0))
    torch.testing.assert_close(out.attention.audio, torch.stack(scores).mean(0))
    first = leap(blocks=3, output="first")
    assert len(first.blocks) == 1  # the others would never be read


def test_norm_as_in_the_paper(streams):
    decoder = leap(blocks=1, norm="paper")
    block, labels = one_of_twins(decoder.blocks[0], 0, norm="paper"), decoder.labels(torch.randn(5, 6))
    key, value = block.attention.project_memory(streams.audio)
    scores = block.attention.scores(labels, key)
    mixed = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
    updated = labels + block.attention_norm(mixed)
    expected = updated + block.feed_forward_norm(block.feed_forward(updated))
    found, found_scores = block(labels, streams.audio)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found_scores, scores)
    assert block.attention.output is None


def test_learned_labels(streams):
    decoder = LEAPDecoder(32, classes=5, label_dim=0, heads=4, feed_forward=16)
    assert decoder.labels.learned.shape == (5, 32)
    decoder(streams).audio_segment.sum().backward()
    assert decoder.labels.learned.grad.abs().sum() > 0


def test_start_is_one_block_copied():
    decoder = LEAPDecoder(32, heads=4, blocks=2)
    first, second = decoder.blocks[0], decoder.blocks[1]
    torch.testing.assert_close(first.attention.query.weight[0], second.attention.query.weight[1])
    torch.testing.assert_close(first.feed_forward[3].weight[1], second.feed_forward[3].weight[0])


@pytest.mark.parametrize("norm", ["published", "paper"])
@pytest.mark.parametrize("output", ["last", "first", "average"])
def test_no_weight_is_dead(streams, norm, output):
    decoder = leap(norm=norm, output=output, blocks=4).train()
    out = decoder(streams, torch.randn(5, 6))
    sum(p.square().sum() for p in (out.audio_segment, out.visual_segment, out.audio_video, out.visual_video)).backward()
    dead = [name for name, parameter in decoder.named_parameters() if parameter.grad is None]
    assert not dead


def test_union_rules():
    audio, visual = torch.tensor([[0.5, 0.4, 0.0, 1.0]]), torch.tensor([[0.1, 0.4, 1.0, 1.0]])
    assert union_probability(audio, visual, rule="hard").tolist() == [[1, 0, 1, 1]]
    torch.testing.assert_close(union_probability(audio, visual, rule="max"), torch.tensor([[0.5, 0.4, 1.0, 1.0]]))
    torch.testing.assert_close(
        union_probability(audio, visual, rule="noisy_or"), torch.tensor([[0.55, 0.64, 1.0, 1.0]])
    )
    with pytest.raises(ValueError, match="rule 'or': expected one of hard, max, noisy_or"):
        union_probability(audio, visual, rule="or")


def test_malformed(streams):
    with pytest.raises(ValueError, match=r"labels: absent, expected text embeddings \[5, 6\]"):
        leap()(streams)
    with pytest.raises(ValueError, match=r"labels: shape is \[4, 6\]"):
        leap()(streams, torch.randn(4, 6))
    with pytest.raises(ValueError, match="output 'middle': expected one of last, first, average"):
        leap(output="middle")
    with pytest.raises(ValueError, match="norm 'pre': expected one of published, paper"):
        leap(norm="pre")
