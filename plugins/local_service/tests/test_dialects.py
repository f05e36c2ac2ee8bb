"""Each dialect says what its clients were recorded to send and published to read, over a real connection."""

from __future__ import annotations

from typing import Any

import pytest

from rerankit import Capabilities, ScoreBatch, ScoreKind
from rerankit.errors import BackendError, OutOfMemoryError, OverloadedError, UnavailableError
from rerankit.testing import FakeReranker
from rerankit_local_service.server.dialects.call import on_asked_scale
from rerankit_local_service.testing import Served

QUERY = "red planet mars"
DOCUMENTS = ["venus is hot", "mars the red planet", "a red rose", "mars the red planet"]
SCORES = [0.0, 1.0, 1 / 3, 1.0]
ORDER = [1, 3, 2, 0]
DOCUMENT_PATHS = ["/rerank", "/v1/rerank", "/v2/rerank"]


def results(answer: Any) -> list[tuple[Any, Any]]:
    return [(found["index"], found.get("relevance_score", found.get("score"))) for found in answer]


RANKED = [(index, SCORES[index]) for index in ORDER]


class TestDocuments:
    """Cohere, Jina, Voyage, vLLM, Infinity, Xinference."""

    @pytest.mark.parametrize("path", DOCUMENT_PATHS)
    def test_one_answer_for_all_of_their_clients(self, served: Served, path: str) -> None:
        """results and data, meta and usage: descending, ties by index ascending, nothing echoed unasked."""
        answer = served.post(path, {"model": "mini", "query": QUERY, "documents": DOCUMENTS}).json()
        assert results(answer["results"]) == RANKED
        assert answer["data"] == answer["results"]
        assert all(set(found) == {"index", "relevance_score"} for found in answer["results"])
        assert answer["object"] == "rerank"
        assert answer["model"] == "fake"
        assert answer["meta"]["api_version"] == {"version": "2"}
        assert answer["meta"]["billed_units"] == {"search_units": 1}
        assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] > 0
        assert answer["id"]

    @pytest.mark.parametrize("name", ["top_n", "top_k"])
    @pytest.mark.parametrize("path", DOCUMENT_PATHS)
    def test_top_n_cuts_and_may_exceed(self, served: Served, path: str, name: str) -> None:
        """Cohere's top_n and Voyage's top_k; more than there are means all."""
        body = {"query": QUERY, "documents": DOCUMENTS}
        assert results(served.post(path, body | {name: 2}).json()["results"]) == RANKED[:2]
        assert results(served.post(path, body | {name: 99}).json()["results"]) == RANKED

    def test_search_units_are_hundreds_of_documents(self, served: Served) -> None:
        """As Cohere bills."""
        answer = served.post("/v2/rerank", {"query": QUERY, "documents": ["x"] * 101}).json()
        assert answer["meta"]["billed_units"] == {"search_units": 2}

    @pytest.mark.parametrize("path", DOCUMENT_PATHS)
    def test_nulls_and_unknown_fields_are_accepted(self, served: Served, path: str) -> None:
        """langchain-cohere sends nulls, Xinference fields of its own."""
        nulls = dict.fromkeys(
            ("model", "top_n", "top_k", "return_documents", "rank_fields", "max_chunks_per_doc", "max_tokens_per_doc")
        )
        others = {"kwargs": "{}", "return_len": None, "priority": 3, "truncation": True, "user": {"a": [1]}}
        answer = served.post(path, {"query": QUERY, "documents": DOCUMENTS} | nulls | others)
        assert answer.status_code == 200, answer.text
        assert results(answer.json()["results"]) == RANKED

    @pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
    def test_echo_is_an_object_and_only_when_asked(self, served: Served, path: str) -> None:
        """{"text": ...} on /v1 and /v2, never null; a mapping keeps its own fields."""
        body = {"query": "mars", "documents": ["mars", {"text": "venus", "id": 7}], "return_documents": True}
        found = served.post(path, body).json()["results"]
        assert [result["document"] for result in found] == [{"text": "mars"}, {"text": "venus", "id": 7}]
        for no in (False, None):
            found = served.post(path, body | {"return_documents": no}).json()["results"]
            assert all("document" not in result for result in found)

    def test_nothing_is_echoed_on_the_bare_path(self, served: Served) -> None:
        """litellm asks by default; its infinity rejects objects, its hosted_vllm strings."""
        body = {"query": QUERY, "documents": DOCUMENTS, "return_documents": True}
        assert all("document" not in found for found in served.post("/rerank", body).json()["results"])

    def test_rank_fields_choose_what_is_read(self, served: Served) -> None:
        """Cohere v1: documents are mappings, several fields are ranked together."""
        documents = [{"title": "mars", "body": "the red planet", "text": "no"}, {"title": "venus", "text": "mars"}]
        body = {"query": QUERY, "documents": documents, "rank_fields": ["title", "body"]}
        assert results(served.post("/v1/rerank", body).json()["results"]) == [(0, 1.0), (1, 0.0)]
        answer = served.post("/v1/rerank", body | {"rank_fields": ["nowhere"]})
        assert answer.status_code == 400
        assert "rank_fields" in answer.json()["message"]

    @pytest.mark.parametrize("flag", [{"raw_scores": True}, {"use_activation": False}])
    def test_logits_for_those_who_ask(self, served: Served, flag: dict[str, bool]) -> None:
        """Infinity's and vLLM's way of asking; 1/3 is the probability of a logit of -ln 2."""
        body = {"query": QUERY, "documents": DOCUMENTS[2:3]} | flag
        assert results(served.post("/rerank", body).json()["results"]) == [(0, pytest.approx(-0.6931, abs=1e-4))]

    @pytest.mark.parametrize("path", DOCUMENT_PATHS)
    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"documents": []}, 400),
            ({"query": " "}, 400),
            ({"query": None}, 400),
            ({"documents": [{"no": "text"}]}, 400),
            ({"documents": [7]}, 400),
            ({"documents": "one string"}, 422),
            ({"top_n": 0}, 422),
            ({"top_n": "many"}, 422),
            ({"model": "nobody-has-this"}, 404),
        ],
    )
    def test_errors_speak_to_each_of_them(self, served: Served, path: str, change: dict[str, Any], status: int) -> None:
        """Cohere reads message, Voyage and Jina detail, vLLM and Infinity error."""
        answer = served.post(path, {"query": QUERY, "documents": DOCUMENTS} | change)
        body = answer.json()
        assert answer.status_code == status, body
        assert body["message"] == body["detail"] == body["error"]["message"]
        assert body["error"]["code"] == status
        assert body["id"] == answer.headers["x-request-id"]


class TestTei:
    """text-embeddings-inference."""

    def test_a_bare_array_one_entry_a_text(self, served: Served) -> None:
        """Descending, whatever top_n litellm sends, with the headers that say what it cost."""
        answer = served.post("/rerank", {"query": QUERY, "texts": DOCUMENTS, "top_n": 1, "truncate": True})
        assert results(answer.json()) == RANKED
        assert all(set(found) == {"index", "score"} for found in answer.json())
        for name in ("compute-tokens", "total-time", "tokenization-time", "queue-time", "inference-time"):
            assert answer.headers[f"x-{name}"].isdigit()

    def test_texts_come_back_when_asked(self, served: Served) -> None:
        """return_text echoes strings."""
        answer = served.post("/rerank", {"query": QUERY, "texts": DOCUMENTS, "return_text": True}).json()
        assert [found["text"] for found in answer] == [DOCUMENTS[index] for index in ORDER]

    def test_raw_scores_are_logits(self, served: Served) -> None:
        """raw_scores true, as Haystack can send."""
        answer = served.post("/rerank", {"query": QUERY, "texts": DOCUMENTS[2:3], "raw_scores": True}).json()
        assert answer[0]["score"] == pytest.approx(-0.6931, abs=1e-4)

    @pytest.mark.parametrize(
        ("body", "status", "kind"),
        [
            ({"query": QUERY, "texts": []}, 400, "Empty"),
            ({"query": "", "texts": ["x"]}, 400, "Empty"),
            ({"texts": ["x"]}, 422, "Validation"),
            ({"query": QUERY, "texts": [None]}, 422, "Validation"),
        ],
    )
    def test_errors(self, served: Served, body: dict[str, Any], status: int, kind: str) -> None:
        """{error, error_type}."""
        answer = served.post("/rerank", body)
        assert answer.status_code == status
        assert set(answer.json()) == {"error", "error_type"}
        assert answer.json()["error_type"] == kind

    @pytest.mark.parametrize(
        ("fault", "status", "kind"),
        [
            (OverloadedError("full", retry_after=2), 429, "Overloaded"),
            (UnavailableError("down"), 503, "Unhealthy"),
            (BackendError("broken"), 424, "Backend"),
            (ValueError("broken"), 424, "Backend"),
        ],
    )
    def test_failures_have_its_statuses(self, serve: Any, fault: Exception, status: int, kind: str) -> None:
        """424 for a broken backend, 429 with Retry-After for a full one."""
        server = serve(lambda: FakeReranker(faults=[None, fault]))
        answer = server.post("/rerank", {"query": QUERY, "texts": DOCUMENTS})
        assert (answer.status_code, answer.json()["error_type"]) == (status, kind)
        assert ("retry-after" in answer.headers) == (status in (429, 503))

    def test_info_has_the_fields_of_its_clients(self, served: Served) -> None:
        """A reranker, its model, and how many texts a request may have."""
        info = served.http.get("/info").json()
        assert "reranker" in info["model_type"]
        assert info["model_id"] == "fake"
        assert info["max_client_batch_size"] == 10_000


class TestSolaceAi:
    """The first application."""

    BODY = {"query": QUERY, "passages": DOCUMENTS, "model_name_or_path": "fake", "reranker_type": "mini"}  # noqa: RUF012

    def test_scores_are_whole_and_in_input_order(self, served: Served) -> None:
        """Also with top_k, which cuts ranked_indices alone."""
        answer = served.post("/rerank", self.BODY | {"top_k": 2, "batch_size": 256}).json()
        assert answer["scores"] == pytest.approx(SCORES)
        assert answer["ranked_indices"] == ORDER[:2]
        assert answer["top_k_applied"] == 2
        assert answer["model_used"] == "fake"
        assert answer["processing_time_ms"] >= 0
        assert isinstance(answer["device"], str)
        assert served.post("/rerank", self.BODY).json()["ranked_indices"] == ORDER

    @pytest.mark.parametrize(
        "change",
        [
            {"query": ""},
            {"query": "x" * 10_001},
            {"passages": []},
            {"passages": ["x"] * 1_001},
            {"passages": ["x", " \n"]},
            {"passages": [{"text": "x"}]},
            {"top_k": 0},
        ],
    )
    def test_its_limits_are_422(self, served: Served, change: dict[str, Any]) -> None:
        """With a sentence under detail."""
        answer = served.post("/rerank", self.BODY | change)
        assert answer.status_code == 422, answer.text
        assert isinstance(answer.json()["detail"], str)

    def test_its_limits_are_reached(self, served: Served) -> None:
        """1,000 passages and 10,000 characters are served."""
        body = {"query": "x" * 10_000, "passages": ["x"] * 1_000}
        assert len(served.post("/rerank", body).json()["scores"]) == 1_000

    def test_a_model_that_is_not_served_is_no_silent_other_one(self, served: Served) -> None:
        """404, with what to do."""
        answer = served.post("/rerank", self.BODY | {"model_name_or_path": "other/model"})
        assert answer.status_code == 404
        assert "--alias other/model=mini" in answer.json()["detail"]

    def test_a_full_service_is_503(self, serve: Any) -> None:
        """As it was, now with Retry-After."""
        server = serve(lambda: FakeReranker(faults=[None, OverloadedError("full", retry_after=3)]))
        answer = server.post("/rerank", {"query": QUERY, "passages": DOCUMENTS})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")

    def test_what_else_its_clients_ask(self, served: Served) -> None:
        """/health, /ready and /models."""
        assert served.http.get("/health").json()["status"] == "healthy"
        assert served.http.get("/ready").json()["status"] == "ready"
        assert served.http.get("/models").json()["models"][0]["model_name_or_path"] == "fake"


class TestPinecone:
    """Pinecone's inference."""

    @pytest.mark.parametrize("header", [{}, {"Api-Key": "k"}])
    def test_data_with_score(self, served: Served, header: dict[str, str]) -> None:
        """Known by its parameters or its header; documents come back unless told otherwise."""
        documents = [{"id": "a", "text": "venus"}, {"id": "b", "text": "mars"}]
        body: dict[str, Any] = {"model": "mini", "query": "mars", "documents": documents, "rank_fields": ["text"]}
        if not header:
            body["parameters"] = {"truncate": "END"}
        answer = served.post("/rerank", body, headers=header).json()
        assert results(answer["data"]) == [(1, 1.0), (0, 0.0)]
        assert answer["data"][0]["document"] == {"id": "b", "text": "mars"}
        assert answer["usage"] == {"rerank_units": 1}
        answer = served.post("/rerank", body | {"return_documents": False, "top_n": 1}, headers=header).json()
        assert answer["data"] == [{"index": 1, "score": 1.0}]

    def test_errors(self, served: Served) -> None:
        """error has code and message."""
        answer = served.post("/rerank", {"query": "q", "documents": []}, headers={"Api-Key": "k"})
        assert (answer.status_code, answer.json()["status"]) == (400, 400)
        assert answer.json()["error"]["code"] == "INVALID_INPUT"


class TestVllmScore:
    """vLLM's /score."""

    @pytest.mark.parametrize("path", ["/score", "/v1/score"])
    def test_pairs_in_input_order(self, served: Served, path: str) -> None:
        """One text with many, or as many of one as of the other."""
        answer = served.post(path, {"model": "mini", "text_1": QUERY, "text_2": DOCUMENTS}).json()
        assert results(answer["data"]) == [(n, pytest.approx(score)) for n, score in enumerate(SCORES)]
        assert answer["object"] == "list"
        answer = served.post(path, {"text_1": ["mars", "venus"], "text_2": ["mars", "mars"]}).json()
        assert results(answer["data"]) == [(0, 1.0), (1, 0.0)]
        answer = served.post(path, {"text_1": "mars", "text_2": "mars"}).json()
        assert results(answer["data"]) == [(0, 1.0)]

    @pytest.mark.parametrize("texts", [(["a", "b"], ["c"]), ("a", []), ([], []), ("a", [1]), ("a", None), (" ", "a")])
    def test_errors(self, served: Served, texts: tuple[Any, Any]) -> None:
        """400 with an error object."""
        answer = served.post("/score", {"text_1": texts[0], "text_2": texts[1]})
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_input"


class TestModels:
    """OpenAI's list, and what Xinference's client asks before it reranks."""

    def test_lists(self, served: Served) -> None:
        """By the name answers give, and found by every name."""
        assert [model["id"] for model in served.http.get("/v1/models").json()["data"]] == ["fake"]
        for name in ("mini", "fake"):
            assert served.http.get(f"/v1/models/{name}").json()["model_type"] == "rerank"
        assert served.http.get("/v1/models/nobody").status_code == 404
        assert served.http.get("/v1/cluster/auth").json() == {"auth": False}


class TestTruncation:
    """Nothing is cut in silence."""

    class Short(FakeReranker):
        """Reads ten characters."""

        def score_pairs(self, request: Any) -> ScoreBatch:
            batch = super().score_pairs(request)
            coverage = [min(1.0, 10 / max(1, len(text))) for _, text in request.pairs]
            return ScoreBatch(batch.scores, coverage=coverage, tokens=[10] * len(coverage), model="short")

    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            ("/v1/rerank", {"documents": ["x" * 11], "truncation": False}, 400),
            ("/rerank", {"texts": ["x" * 11], "truncate": False}, 422),
            ("/rerank", {"documents": [{"text": "x" * 11}], "parameters": {"truncate": "NONE"}}, 400),
        ],
    )
    def test_a_caller_that_forbids_it_is_told(self, serve: Any, path: str, body: dict[str, Any], status: int) -> None:
        """Jina's and Voyage's truncation, TEI's truncate, Pinecone's parameters."""
        server = serve(self.Short)
        answer = server.post(path, {"query": "x"} | body)
        assert answer.status_code == status, answer.text
        assert "longer than the model reads" in answer.text
        name = "texts" if "texts" in body else "documents"
        short = [{"text": "x"}] if "parameters" in body else ["x"]
        assert server.post(path, {"query": "x"} | body | {name: short}).status_code == 200

    def test_others_are_warned(self, serve: Any) -> None:
        """In Cohere's meta.warnings, with the parameters that have no effect."""
        body = {"query": "x", "documents": ["x" * 11, "x"], "max_tokens_per_doc": 4096}
        warnings = serve(self.Short).post("/v2/rerank", body).json()["meta"]["warnings"]
        assert [warning.split(" ")[0] for warning in warnings] == ["max_tokens_per_doc", "1"]

    def test_tokens_are_the_models_own(self, serve: Any) -> None:
        """Where it counts them."""
        answer = serve(self.Short).post("/v2/rerank", {"query": "x", "documents": ["a", "b"]}).json()
        assert answer["usage"]["total_tokens"] == 20


class TestScale:
    """Clients of every dialect expect scores in [0, 1]."""

    def test_logits_go_through_a_sigmoid(self, serve: Any) -> None:
        """A backend that gives logits serves dialects that promise probabilities; raw gives the logits."""
        scores = {"a": -800.0, "b": 0.0, "c": 3.0, "d": 800.0}

        def build() -> FakeReranker:
            return FakeReranker(lambda query, text: scores.get(text, len(query)), capabilities=LOGITS)

        server = serve(build, self_test=False)
        answer = server.post("/rerank", {"query": "x", "passages": list(scores)}).json()
        assert answer["scores"] == pytest.approx([0.0, 0.5, 0.9526, 1.0], abs=1e-4)
        answer = server.post("/rerank", {"query": "x", "texts": list(scores), "raw_scores": True}).json()
        assert {found["index"]: found["score"] for found in answer} == dict(enumerate(scores.values()))

    def test_the_edges_of_probability_are_finite(self) -> None:
        """0 and 1 have no logit; float32 cannot tell them from 2^-24."""
        assert on_asked_scale([0.0, 1.0], ScoreKind.PROBABILITY, raw=True) == pytest.approx([-16.63553, 16.63553])
        assert on_asked_scale([-1.0, 0.3], ScoreKind.SIMILARITY, raw=True) == [-1.0, 0.3]


LOGITS = Capabilities(ScoreKind.LOGIT)


def test_a_retry_cure_is_never_a_4xx_but_429(serve: Any) -> None:
    """Clients retry 408, 409, 429 and 5xx only."""
    faults = [OverloadedError("x"), UnavailableError("x"), OutOfMemoryError("x"), BackendError("x")]
    server = serve(lambda: FakeReranker(faults=[None, *faults]))
    statuses = [server.post("/v2/rerank", {"query": "x", "documents": ["x"]}).status_code for _ in faults]
    assert statuses == [429, 503, 503, 500]


def test_lone_surrogates_are_mended(served: Served) -> None:
    """JavaScript's JSON has them where an emoji was cut; they are no UTF-8 and must not lose the request."""
    body = '{"query": "cut \\ud83d", "documents": ["\\ud83d", {"text": "x", "k": "\\udc00"}], "return_documents": true}'
    answer = served.http.post("/v2/rerank", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == 2
