"""Contract suites for implementations of one's own, and a synthetic pool to search in seconds.

A suite is a class of tests; subclass it in a test module, say what is to be tested, and pytest runs all of it:

    class TestMine(EvaluatorContract):
        def make(self):
            return MyEvaluator()

`evaluators`, `executors`, `exporters`, `operators` (deformable attention), `samplers`, `storages` and `tasks` have one
each; the package's own implementations pass the same suites. `synthetic` makes a pool of designs with scores to replay,
`presets` a proxy preset of seconds.
"""
