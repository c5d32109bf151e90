"""Evaluators that are not ours: found by `package.module:object`, or by the name of an entry point.

An evaluator is a picklable object with three methods (see `piip_explore.search.evaluators.Evaluator`):

    from dataclasses import dataclass
    from piip_explore.search.evaluators import Outcome

    @dataclass(frozen=True)
    class MyTraining:
        epochs: int = 12

        def describe(self):  # what identifies the evaluation; a study resumes only with the same
            return {"kind": "my-training", "epochs": self.epochs}

        def conditions(self, device):  # what scores depend on besides that
            return {"code_version": "1", "kernel_backend": "none"}

        def evaluate(self, task, progress):  # in a worker process; `task.checkpoints` is a folder to resume from
            for epoch in range(round(self.epochs * task.fidelity)):
                accuracy = train_an_epoch(task.design, task.device, task.checkpoints)
                progress((epoch + 1) / self.epochs)
            return Outcome("ok", accuracy, standard_error=None, seconds=60.0)
"""

from __future__ import annotations

import pickle
from typing import cast

from piip_explore import plugins
from piip_explore.errors import InputError
from piip_explore.search.evaluators import Evaluator

_METHODS = ("describe", "conditions", "evaluate")


def load(reference: str) -> Evaluator:
    """Return the evaluator `package.module:object`, or the entry point of this name; a class is called first.

    Modules in the current folder are found, too.

    Raises:
        InputError: there is none, it lacks a method, or no worker process could get it.
    """
    if ":" not in reference and reference not in plugins.offered("evaluators"):
        known = ", ".join(sorted(plugins.offered("evaluators"))) or "none is installed"
        how = f"expected package.module:object, or an entry point ({known})"
        raise InputError(f"unknown evaluator '{reference}': {how}")
    found = plugins.imported(reference) if ":" in reference else plugins.load("evaluators", reference)
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:
            raise InputError(f"evaluator '{reference}': cannot be made without arguments ({error})") from None
    missing = [name for name in _METHODS if not callable(getattr(found, name, None))]
    if missing:
        raise InputError(f"evaluator '{reference}' has no method {', '.join(missing)}: it needs {', '.join(_METHODS)}")
    try:
        pickle.dumps(found)
    except Exception as error:
        raise InputError(f"evaluator '{reference}' cannot be sent to a worker process: {error}") from None
    return cast(Evaluator, found)
