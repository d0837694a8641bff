"""An executor for tests: another machine, as far as a step can tell."""

import json
from collections.abc import Iterable, Iterator

from labse.cluster.tasks import Task, run_step
from labse.files.stage import Result


class JsonExecutor:
    """Runs tasks here, the last one first, with arguments and results that went through JSON."""

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """See `labse.cluster.tasks.Executor`."""
        for task in reversed(list(tasks)):
            arguments = json.loads(json.dumps({**task.arguments, **task.places}))
            result = run_step(task.step, arguments, task.outputs)
            yield task, json.loads(json.dumps(result))
