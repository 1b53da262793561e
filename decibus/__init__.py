"""
What the services agree on, and how a worker runs.

Read from the bottom up:

    errors      what can go wrong, and what happens next         ┐
    messages    every payload on the wire                        │ the contract: pure, no I/O
    jobs        the life of a job: its states and legal moves    │
    topology    every name in NATS                               ┘
    settings    environment variables into one frozen Struct     ┐
    telemetry   logs configured, trace context carried           │
    process     a service's start and end, by signals            │
    audio       any container → blocks of float32                │
    confinement what a process may not do any more               │
    nursery     a confined child for each file, forked warm      │
    sandbox     a step, run on a stranger's file in such a child │
    broker      NATS: publish, pull, records, requests           │ the runtime, in layers
    blobs       audio in the object store, streamed              │
    ledger      jobs, persisted: moves by compare-and-set        │
    worker      pull, claim, run, settle, drain                  ┘
"""
