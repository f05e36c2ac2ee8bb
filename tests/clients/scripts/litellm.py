"""litellm: every rerank provider that can be pointed at a service."""

import json
import sys

sys.path = [path for path in sys.path if not path.endswith("scripts")]  # this file is not the package of its name

import litellm

url, query, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
found = {}


def pairs(answer):
    return [[result["index"], result["relevance_score"]] for result in answer.results]


for provider, base in (
    ("cohere", url),
    ("jina_ai", url),
    ("infinity", url),
    ("hosted_vllm", url),
    ("huggingface", url),
    ("voyage", url),
):
    key = {} if provider in ("infinity", "hosted_vllm", "huggingface") else {"api_key": "any"}
    for top_n in (None, 2):
        answer = litellm.rerank(
            model=f"{provider}/mini", query=query, documents=texts, top_n=top_n, api_base=base, **key
        )
        # text-embeddings-inference knows no top_n: all texts come back.
        cut = top_n and provider != "huggingface"
        found[provider + (" top_n" if cut else "")] = pairs(answer)
print(json.dumps(found))
