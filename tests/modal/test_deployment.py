"""Our app, deployed by our command, run in containers made from its image, called by our client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import modal
import pytest
from modal_proto import api_pb2 as pb

from rerankit import load_reranker
from rerankit.errors import ColdStartTimeoutError, InputError
from rerankit_modal import ModalReranker

from .conftest import run
from .control_plane import LocalModal
from .control_plane.state import Pool
from .models import TEXT

QUERY = "what is a panda"
PASSAGES = ["a bear that eats bamboo", "a snake", "the query and the passage"]


@pytest.fixture
def reranker(loopback: LocalModal, deployment: str) -> Iterator[ModalReranker]:
    with ModalReranker(deployment) as opened:
        yield opened


@pytest.fixture(scope="session")
def expected(models: dict[str, Path]) -> list[float]:
    """What the same model gives in this process, on the engine of a container, which has no OpenVINO."""
    with load_reranker("crossencoder", model_name_or_path=str(models["sensible"]), engine="packed") as local:
        return local.get_scores(QUERY, PASSAGES)


def test_scores_are_those_of_the_model(reranker: ModalReranker, expected: list[float]) -> None:
    """The way over Modal changes nothing: float32 logits, probabilities in input order."""
    assert reranker.get_scores(QUERY, PASSAGES) == pytest.approx(expected, abs=1e-5)


def test_what_the_model_knows_comes_back(reranker: ModalReranker) -> None:
    """Model, coverage, tokens and the meaning of scores pass the wire."""
    ranking = reranker.rerank(QUERY, [*PASSAGES, "bamboo " * 2000])
    assert ranking.model == "sensible"
    assert ranking.score_kind == "probability"
    assert ranking.tokens
    assert ranking.truncated == 1
    shares = {document.index: document.coverage for document in ranking}
    assert shares[0] == 1.0
    assert shares[3] is not None
    assert shares[3] < 0.5


def test_the_function_for_existing_callers_gives_a_plain_list(
    loopback: LocalModal, deployment: str, client: modal.Client, expected: list[float]
) -> None:
    """``inference_api(query, passages, batch_size)``, called as applications call it today."""
    function = modal.Function.from_name(deployment, "inference_api", client=client)
    scores = function.remote(QUERY, PASSAGES, 256)
    assert type(scores) is list
    assert scores == pytest.approx(expected, abs=1e-5)


def scorers(server: LocalModal, app: str) -> Pool:
    """The containers with the model."""
    functions = server.control.deployed[app].functions.values()
    (found,) = (pool for pool in map(server.control.pools.__getitem__, functions) if "Scorer" in pool.name)
    return found


def inputs_before(pool: Pool, count: int) -> int:
    """How many inputs wait or run there, once there are ``count`` or a minute has passed."""
    deadline = time.monotonic() + 60
    while (there := len(pool.queue) + pool.inputs_running) < count and time.monotonic() < deadline:
        time.sleep(0.1)
    return there


def warm_containers(server: LocalModal, app: str) -> int:
    """How many containers with the model are up, once two are or a minute has passed."""
    deadline = time.monotonic() + 60
    while True:
        warm = sum(container.pool.name.startswith("Scorer") for container in server.containers(app))
        if warm == 2 or time.monotonic() > deadline:
            return warm
        time.sleep(0.2)


def test_two_containers_are_warm(loopback: LocalModal, deployment: str) -> None:
    """The default, as asked for."""
    assert warm_containers(loopback, deployment) == 2


async def test_twenty_concurrent_calls_share_batches(loopback: LocalModal, deployment: str) -> None:
    """Every caller gets its own scores, and there were fewer batches than calls."""
    passages = [f"a {word} and the snake" for word in [*TEXT.split(), "panda bear"]]
    assert len(passages) == 20
    assert await asyncio.to_thread(warm_containers, loopback, deployment) == 2
    async with ModalReranker(deployment) as reranker:
        alone = await reranker.aget_scores(QUERY, passages)
        before = await _figures(reranker)
        together = await asyncio.gather(*(reranker.aget_scores(QUERY, [passage]) for passage in passages))
        after = await _figures(reranker)
    assert [score for (score,) in together] == pytest.approx(alone, abs=1e-5)
    calls, batches = (sum(after[key].values()) - sum(before[key].values()) for key in ("accepted", "batches"))
    assert calls == len(passages)
    assert batches < calls


async def test_the_front_hands_on_twenty_inputs_at_once(
    loopback: LocalModal, deployment: str, client: modal.Client
) -> None:
    """None waits for another's answer: while the model stands still, all twenty lie before it."""
    assert await asyncio.to_thread(warm_containers, loopback, deployment) == 2
    function = modal.Function.from_name(deployment, "inference_api", client=client)
    await function.remote.aio(QUERY, PASSAGES)
    scorer = scorers(loopback, deployment)
    processes = [container.process for container in scorer.running if container.process is not None]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    calls = [asyncio.ensure_future(function.remote.aio(QUERY, PASSAGES)) for _ in range(20)]
    try:
        assert await asyncio.to_thread(inputs_before, scorer, 20) == 20
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)
    answers = await asyncio.gather(*calls)
    assert answers == [pytest.approx(answers[0], abs=1e-5)] * 20


async def _figures(reranker: ModalReranker) -> dict[str, dict[str, int]]:
    """The counts of both containers, told apart by their names."""
    found: dict[str, dict[str, int]] = {"accepted": {}, "batches": {}}
    while len(found["accepted"]) < 2:  # whichever container is free answers
        described = await reranker.engine.call("Scorer.describe", seconds=30)
        for key, counts in found.items():
            counts[described["container"]] = described["figures"][key]
    return found


def test_a_stream_yields_a_batch_at_a_time(loopback: LocalModal, deployment: str, expected: list[float]) -> None:
    """In input order, ``batch_size`` scores a part."""
    with ModalReranker(deployment, batch_size=2) as reranker:
        parts = list(reranker.stream_scores(QUERY, PASSAGES))
    assert [len(part) for part in parts] == [2, 1]
    assert [score for part in parts for score in part] == pytest.approx(expected, abs=1e-5)


def test_a_stream_may_be_left_early(reranker: ModalReranker) -> None:
    """Whoever has seen enough stops asking."""
    with contextlib.closing(reranker.stream_scores(QUERY, PASSAGES)) as parts:
        assert len(next(parts)) == 3


async def test_a_stream_ends_at_its_deadline_in_the_container(loopback: LocalModal, deployment: str) -> None:
    """Whoever has left is not computed for any longer."""
    async with ModalReranker(deployment) as reranker:
        pairs = [[QUERY, passage] for passage in PASSAGES]
        answers = [a async for a in reranker.engine.stream("Scorer.stream", pairs, 1, 0.0, seconds=30)]
    assert [answer["error"]["code"] for answer in answers] == ["deadline_exceeded"]


def test_three_mebibytes_of_passages(reranker: ModalReranker) -> None:
    """More than one message holds goes through Modal's blobs, unnoticed."""
    passages = ["a snake " * (1 << 17), "bear " * (1 << 17), "panda " * (1 << 18)]
    assert sum(map(len, passages)) > 3 << 20
    assert len(reranker.get_scores(QUERY, passages)) == len(passages)


def test_bad_input_is_refused_before_it_costs_anything(loopback: LocalModal, reranker: ModalReranker) -> None:
    """An empty query never leaves the machine."""
    before = len(loopback.control.requests)
    with pytest.raises(InputError):
        reranker.get_scores("", PASSAGES)
    assert reranker.get_scores(QUERY, []) == []
    assert [rpc for kind, rpc in loopback.control.requests[before:] if kind == str(pb.CLIENT_TYPE_CLIENT)] == []


def test_the_look_up_happens_once(loopback: LocalModal, reranker: ModalReranker) -> None:
    """From the second call on, a call is two requests: inputs in, outputs out."""
    reranker.get_scores(QUERY, PASSAGES)
    before = len(loopback.control.requests)
    reranker.get_scores(QUERY, PASSAGES)
    asked = [rpc for kind, rpc in loopback.control.requests[before:] if kind == str(pb.CLIENT_TYPE_CLIENT)]
    assert set(asked) == {"FunctionMap", "FunctionGetOutputs"}


def test_threads_share_a_reranker(reranker: ModalReranker, expected: list[float]) -> None:
    """Synchronous callers in threads, all at once."""
    with ThreadPoolExecutor(8) as pool:
        for scores in pool.map(lambda _: reranker.get_scores(QUERY, PASSAGES), range(16)):
            assert scores == pytest.approx(expected, abs=1e-5)


def test_containers_answer_in_plain_data(loopback: LocalModal, deployment: str) -> None:
    """No function of ours may send a pickle, so nothing that comes from Modal can run code at the caller's."""
    functions = loopback.control.deployed[deployment].functions.values()
    methods = [loopback.control.pools[function].handle for function in functions]
    handles = [*methods, *(method for handle in methods for method in handle.method_handle_metadata.values())]
    formats = {data_format for handle in handles for data_format in handle.supported_output_formats}
    assert formats == {pb.DATA_FORMAT_CBOR, pb.DATA_FORMAT_GENERATOR_DONE}


def test_a_container_has_what_its_image_declares_and_no_more(loopback: LocalModal, deployment: str) -> None:
    """Our wheels with their entry points are installed; what tests need is not; no token is in the environment."""
    layer = loopback.control.builds[scorers(loopback, deployment).definition.image_id].result()
    packages = {path.name.partition("-")[0] for path in layer.venv.glob("lib/python*/site-packages/*.dist-info")}
    assert {"rerankit", "rerankit_modal", "rerankit_crossencoder", "torch"} <= packages
    assert not {"pytest", "hypothesis", "schemathesis"} & packages
    assert not [name for name in layer.variables if "TOKEN" in name]
    assert sorted(path.name for path in layer.home.joinpath("model").iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def _in_child(app: str, answer: Connection) -> None:
    # A pipe, not a queue, whose thread may not have written yet when the child is gone.
    with ModalReranker(app) as reranker:
        answer.send(reranker.get_scores(QUERY, PASSAGES))
    os._exit(0)


def test_a_forked_child_makes_its_own_connection(
    loopback: LocalModal, reranker: ModalReranker, deployment: str
) -> None:
    """Applications that fork for each question: what the parent held does not deadlock the child."""
    expected = reranker.get_scores(QUERY, PASSAGES)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_in_child, args=(deployment, sender))
    child.start()
    sender.close()
    try:
        assert receiver.poll(60), "the child hangs"
        assert receiver.recv() == pytest.approx(expected, abs=1e-5)
    finally:
        child.kill()
        child.join()


def test_the_cheap_profile_scales_to_zero_and_another_model_takes_over(
    loopback: LocalModal, models: dict[str, Path]
) -> None:
    """No container before the first call, which says that it waits; a redeployment changes model and scores."""
    cheap = {
        **loopback.environment,
        "RERANKIT_MODAL_APP_NAME": "cheap",
        "RERANKIT_MODAL_MIN_CONTAINERS": "0",
        "RERANKIT_MODAL_SCALEDOWN_WINDOW": "60",
        "RERANKIT_MODAL_MODEL": str(models["sensible"]),
    }
    run(["rerankit", "modal", "deploy"], cheap)
    status = json.loads(run(["rerankit", "modal", "status", "--json"], cheap).stdout)
    assert status["containers"] == 0
    assert "no container is up" in status["self-test"]
    with ModalReranker("cheap", timeout=0.5) as hasty, pytest.raises(ColdStartTimeoutError, match="waited for a cont"):
        hasty.get_scores(QUERY, PASSAGES)
    with ModalReranker("cheap") as patient:
        first = patient.rerank(QUERY, PASSAGES)
        run(["rerankit", "modal", "deploy"], {**cheap, "RERANKIT_MODAL_MODEL": str(models["other"])})
        second = patient.rerank(QUERY, PASSAGES)
    assert (first.model, second.model) == ("sensible", "other")
    assert [document.score for document in first] != [document.score for document in second]


def test_a_model_that_cannot_be_loaded_is_told_in_plain_words(
    loopback: LocalModal, models: dict[str, Path], tmp_path: Path
) -> None:
    """What ended the start reaches the caller, as text: modal pickles it, so it is no class of ours or of torch's."""
    broken = shutil.copytree(models["other"], tmp_path / "broken")
    (broken / "model.safetensors").unlink()
    variables = {
        **loopback.environment,
        "RERANKIT_MODAL_APP_NAME": "broken",
        "RERANKIT_MODAL_MIN_CONTAINERS": "0",
        "RERANKIT_MODAL_MODEL": str(broken),
    }
    run(["rerankit", "modal", "deploy"], variables)
    told = run(["rerankit", "modal", "status", "--wake"], variables, succeeds=False)
    assert told.returncode == 5
    assert "the deployment 'broken' failed: RuntimeError: ModelNotFoundError: " in told.stderr
    assert "modal app logs broken" in told.stderr


def test_status_tells_model_containers_and_self_test(loopback: LocalModal, deployment: str) -> None:
    """... and where the token came from."""
    status = json.loads(run(["rerankit", "modal", "status", "--json"], loopback.environment).stdout)
    assert status["app"] == deployment
    assert status["token"] == "from the environment"
    assert status["model"] == "sensible"
    assert status["self-test"].startswith("good")
