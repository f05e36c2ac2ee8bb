"""What happens around a backend, so that reranking never takes search down.

Configuration does it all: ``reranker_policy`` (``PolicySettings``), put around a backend by ``apply_policy``.
By hand, every part is a ``PairReranker`` around a ``PairReranker``, and is used alone or with others::

    from rerankit.adapters import as_pair_reranker
    from rerankit.policy.breaker import BreakerReranker, Circuit
    from rerankit.policy.guard import GuardReranker
    from rerankit.policy.retry import RetryReranker

    reranker = RetryReranker(BreakerReranker(GuardReranker(as_pair_reranker(backend)), Circuit(failures=3)), retries=2)

From the outside in, ``compose`` puts them in this order, and each needs what is inside of it:

    front          the application's methods; input order as the last resort
    observe        before, after and error events
    deadline       sets the deadline of the call
    fallback       the next service, when one fails; everything below is a service's own
    dedup          equal pairs once
    cache          pairs seen before not at all
    partial        chunks from the top, so that a deadline leaves something
    batching       concurrent calls in shared batches; its parts: queue, job, shared, workers, admission, figures
    split          the backend's limits
    retry          further tries
    breaker        a failing backend is left alone
    guard          typed errors, checked scores, the deadline kept

A layer is written once for synchronous and asynchronous callers: see ``steps``. Nothing here is imported by
``import rerankit``.
"""
