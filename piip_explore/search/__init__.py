"""Search: studies that waste no training run and lose none.

    pool        the designs of a space that fit the budget, as columns (axes, costs)
    evaluators  what scores a design: a proxy training run, or a replayed table; `task_choice` by which preset
    samplers    which design next: exhaustive, random, gp, tpe, nsga2, nsga3
    rungs       which designs deserve a longer run
    ledger      what a study has done and what it does next
    storage     where a study lives: journal file, PostgreSQL
    launch      opening, resuming and extending a study (`extend`: what may change); `record` is what it carries
    pool_state  what its storage says of a pool's designs
    study       handing out evaluations, taking in outcomes
    books       what it writes of its trials: new ones, those it runs, what puts right what was lost
    trials      what a study writes about an evaluation
    blame       whom failures are charged to: designs or devices
    requeue     trying again what was given up
    worker      the process that trains
    executors   what runs workers: processes on this machine, or on the nodes of a Ray cluster
    forecast    how long a search will take
    supervisor  the process that hands out work and writes results
    columns     reading a study as columns
    pareto      fronts, knees, hypervolumes
    progress    how far a search is; `telling` says it, `session` what comes before and after
    report      a study's results as text, JSON, CSV, Parquet; `details`, `listing` and `failures` of its trials
    keeping     studies as things: listed, copied, renamed, deleted

Only the supervisor writes to the storage; a worker gets a design and sends back an outcome, so that killing a worker
cannot damage a study, and a storage URL never reaches a worker.
"""
