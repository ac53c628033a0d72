"""LSTMs: what they read, and that the processor's own gives PyTorch's values and gradients at all lengths of rows."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from made_products import ALL, VARIANTS, model_of, shop
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from lib.features.text import Texts
from lib.models.inputs import Batch, Categories, Inputs, Products, Vectors
from lib.models.lstm import (
    NO_TOKENS,
    OWN_TOKENS,
    UNKNOWN,
    ChainedLSTM,
    Encoder,
    MultitaskLSTM,
    Tokens,
    encoders_of,
    pack,
)
from lib.models.lstm_kernel import Ends, run_lstm

WORDS, HIDDEN = 7, 5


def ours(lstm, words, places, slope=2):
    weight_ih, weight_hh, bias_ih, bias_hh = lstm.all_weights[0]
    projected = torch.nn.functional.linear(words, weight_ih, bias_ih + bias_hh)
    return run_lstm(projected, places.data, places.batch_sizes, weight_hh, slope)


def theirs(lstm, words, places):
    outputs, (hidden, cell) = lstm(PackedSequence(words[places.data], places.batch_sizes))
    return Ends(pad_packed_sequence(outputs, batch_first=True)[0].sum(1), hidden[0], cell[0])


@pytest.mark.parametrize("batch_sizes", [[1], [4], [1, 1, 1], [6, 6, 6], [6, 3, 3, 1], [9, 8, 7, 2, 1, 1]])
@pytest.mark.parametrize("scale", [1.0, 30.0])  # the latter drives gates to 0 and 1
def test_values_and_gradients_are_pytorchs(batch_sizes, scale):
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(3, HIDDEN, batch_first=True)
    words = (scale * torch.randn(WORDS, 3)).requires_grad_()
    places = PackedSequence(torch.randint(0, WORDS, (sum(batch_sizes),)), torch.tensor(batch_sizes))
    ends = [run(lstm, words, places) for run in (ours, theirs)]
    for mine, expected in zip(*ends, strict=True):
        torch.testing.assert_close(mine, expected, atol=1e-5, rtol=1e-5)
    for used in ((0,), (1,), (2,), (0, 1, 2)):  # through each thing that it returns, and through all
        gradients = []
        for run in (ours, theirs):
            parts = [run(lstm, words, places)[number] for number in used]
            loss = sum((x * torch.linspace(-1, 2, x.numel()).view_as(x)).square().sum() for x in parts)
            gradients.append(torch.autograd.grad(loss, [words, *lstm.parameters()]))
        for mine, expected in zip(*gradients, strict=True):
            torch.testing.assert_close(mine, expected, atol=1e-4 * scale, rtol=1e-4)


def by_hand(lstm, words, places):
    """Read one row with the sigmoid in the place of tanh, a step at a time."""
    weight_ih, weight_hh, bias_ih, bias_hh = lstm.all_weights[0]
    total = hidden = cell = torch.zeros(1, HIDDEN)
    for word in words[places.data]:
        enter, forget, new, leave = (
            (word @ weight_ih.T + bias_ih + hidden @ weight_hh.T + bias_hh).sigmoid().chunk(4, 1)
        )
        cell = forget * cell + enter * new
        hidden = leave * cell.sigmoid()
        total = total + hidden
    return Ends(total, hidden, cell)


def test_a_sigmoid_may_stand_in_the_place_of_tanh():
    torch.manual_seed(0)
    lstm, words = torch.nn.LSTM(3, HIDDEN, batch_first=True), torch.randn(WORDS, 3).requires_grad_()
    places = PackedSequence(torch.randint(0, WORDS, (6,)), torch.ones(6, dtype=torch.int64))
    results = []
    for run in (lambda *given: ours(*given, slope=1), by_hand):
        ends = run(lstm, words, places)
        loss = sum((part * torch.linspace(-1, 2, HIDDEN)).square().sum() for part in ends)
        results.append([*ends, *torch.autograd.grad(loss, [words, *lstm.parameters()])])
    torch.testing.assert_close(*results, atol=1e-5, rtol=1e-4)


def test_one_more_token_is_read_as_the_others_are_with_either_activation():
    for activation in ("tanh", "sigmoid"):
        encoder = Encoder(9, 4, HIDDEN, activation)
        tokens = torch.tensor([[2, 3, 5], [4, 6, 5]])
        longer, shorter = (pack(Batch(tokens, {"text": (tokens[:, :n], torch.full((2,), n))})) for n in (3, 2))
        after = encoder.mean_after(shorter, encoder.run(shorter), torch.tensor([5]))[:, 0]
        torch.testing.assert_close(after, encoder(longer))


def test_a_gradient_is_taken_once_and_none_is_kept_where_nothing_is_learnt():
    """Its working memory is what was kept for it."""
    lstm, words = torch.nn.LSTM(3, HIDDEN), torch.randn(WORDS, 3)
    places = PackedSequence(torch.tensor([0, 1, 2, 3, 4]), torch.tensor([3, 2]))
    total = ours(lstm, words, places).total.sum()
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()
    with torch.inference_mode():
        assert not ours(lstm, words, places).total.requires_grad


# What is read

SEEN = Products.of(["acme", "zeta"], ["lace shoe lace", "shoe lace"])
NEW = Products.of(["zeta", "unheard of", "acme"], ["lace words shoe nobody lace knows lace", "", "nobody knows"])


def rows_of(ragged):
    return [row.tolist() for row in torch.tensor_split(ragged.ids, ragged.indptr[1:-1])]


def test_unknown_words_are_left_out_before_a_row_is_cut_and_the_brand_comes_last():
    lace, shoe, first_brand = OWN_TOKENS, OWN_TOKENS + 1, OWN_TOKENS + 2
    tokens = Tokens(9, 3, "english", None).fit(SEEN)
    assert tokens.vocabulary == ["lace", "shoe"]
    assert rows_of(tokens.encode(NEW)) == [[lace, shoe, lace], [NO_TOKENS], [NO_TOKENS]]
    tokens = Tokens(9, 2, "english", Categories("brand").fit(SEEN)).fit(SEEN)
    assert rows_of(tokens.encode(NEW)) == [[lace, shoe, first_brand + 1], [UNKNOWN], [first_brand]]
    assert tokens.count == first_brand + 2


def make(kind, inputs=("brand", "text")):
    """Return an untrained network, or a network's encoder, and a batch of rows of different lengths."""
    products, codes = shop(30)
    products = products.having(
        text=Texts.of(" ".join(["denim", "sole", "laces", "wool"] * row)[: 7 * row] for row in range(30))
    )
    settings = model_of(VARIANTS[kind] | {"inputs": list(inputs)}, hidden_dropout=0.0, input_dropout=0.0).settings
    encoders = {name: encoder.fit(products) for name, encoder in encoders_of(settings).items()}
    torch.manual_seed(0)
    network = {"lstm": ChainedLSTM, "lstm_multitask": MultitaskLSTM}[kind](settings, encoders)
    photo = {"image": Vectors("image").fit(products).encode(products)}
    columns = photo | {name: encoder.encode(products) for name, encoder in encoders.items()}
    return network, Inputs(torch.from_numpy(codes.astype(np.int64)), columns).batch(torch.arange(30))


def test_the_mean_is_over_a_rows_own_tokens_and_its_embeddings_gradient_is_sparse():
    network, batch = make("lstm_multitask")
    encoder = network.encoder
    together = encoder(pack(batch))
    together.square().sum().backward()
    sparse, encoder.embedding.grad = encoder.embedding.grad, None
    assert sparse.is_sparse
    total, (tokens, lengths) = 0, batch.columns["text"]
    assert len(set(lengths.tolist())) > 9
    for row, length in enumerate(lengths.tolist()):
        outputs, _ = encoder.lstm(encoder.embedding[tokens[row : row + 1, :length]])
        torch.testing.assert_close(together[row], outputs[0].mean(0), atol=1e-5, rtol=1e-5)
        total = total + outputs[0].mean(0).square().sum()
    total.backward()
    torch.testing.assert_close(sparse.to_dense(), encoder.embedding.grad)


@pytest.mark.parametrize("reads", [False, True])
def test_the_multitask_lstm_reads_the_photo_only_where_it_is_an_input(reads):
    network, batch = make("lstm_multitask", ALL if reads else ["brand", "text"])
    dark = batch._replace(columns=batch.columns | {"image": torch.zeros_like(batch.columns["image"])})
    assert torch.equal(network(batch)[0], network(dark)[0]) is not reads


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", ["lstm", "lstm_multitask"])
def test_a_gpu_gives_what_a_processor_does(kind):
    network, batch = make(kind)
    there = deepcopy(network).cuda()
    tokens, lengths = batch.columns["text"]
    batch_there = batch._replace(codes=batch.codes.cuda(), columns={"text": (tokens.cuda(), lengths)})
    for a, b in zip(network(batch), there(batch_there), strict=True):
        torch.testing.assert_close(a, b.cpu(), atol=1e-5, rtol=1e-4)
    network.loss(batch).backward()
    there.loss(batch_there).backward()
    for a, b in zip(network.parameters(), there.parameters(), strict=True):
        torch.testing.assert_close(a.grad.to_dense(), b.grad.cpu().to_dense(), atol=1e-5, rtol=1e-4)
