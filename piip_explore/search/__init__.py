"""Search: studies that waste no training run and lose none.

    pool        the designs of a space that fit the budget, as columns (axes, costs)
    evaluators  what scores a design: a proxy training run, or a replayed table
    samplers    which design next: exhaustive, random, gp, tpe, nsga2, nsga3
    rungs       which designs deserve a longer run
    ledger      what a study has done and what it does next
    storage     where a study lives: journal file, PostgreSQL, SQLite
    launch      opening, resuming and extending a study (`extend`: what may change); `record` is what it carries
    known       what its storage says of a pool's designs
    study       handing out evaluations, taking in outcomes, putting right what was lost
    worker      the process that trains
    supervisor  the process that hands out work, replaces dead workers and writes results
    columns     reading a study as columns
    pareto      fronts, knees, hypervolumes
    report      a study's results as text, JSON, CSV, Parquet

Only the supervisor writes to the storage; a worker gets a design and sends back an outcome, so that killing a worker
cannot damage a study, and a storage URL never reaches a worker.
"""
