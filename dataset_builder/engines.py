"""Where tasks run: in this process, in others on this machine, or on a Ray cluster."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from ..utils.errors import one_line
from ..utils.extras import require_extra

Job = TypeVar("Job")
Result = TypeVar("Result")
ENGINES = ("local", "ray")
RAY_TASKS_PER_CPU = 4
"""Tasks that wait on the cluster, so that a million clips need no million tasks at once."""


def check_engine(engine: str, num_workers: int) -> None:
    """Raise `ValueError` unless there is such an engine and the number of workers is positive."""
    if engine not in ENGINES:
        raise ValueError(f"`engine` must be one of {', '.join(ENGINES)}, got {engine!r}.")
    if num_workers < 1:
        raise ValueError(f"`num_workers` must be at least 1, got {num_workers}.")


def run_tasks(
    task: Callable[[Job], Result], jobs: Sequence[Job], *, num_workers: int = 1, engine: str = "local"
) -> Iterator[Result]:
    """Run a function of one job for each of them, and yield the results as they come.

    Args:
        task: Can be sent to other processes, as a function of a module or a `functools.partial` of one.
        jobs: Likewise.
        num_workers: Processes (tasks at once on Ray).
        engine: `"local"`, or `"ray"`.

    Raises:
        ChildProcessError: If a worker was killed, or Ray does not start.
        ImportError: If the engine needs a package that is missing.
        ValueError: If an argument is out of range.
    """
    check_engine(engine, num_workers)
    return _run_on_ray(task, jobs, num_workers) if engine == "ray" else _run_locally(task, jobs, num_workers)


def _run_locally(task: Callable[[Job], Result], jobs: Sequence[Job], num_workers: int) -> Iterator[Result]:
    if num_workers == 1 or len(jobs) < 2:
        yield from map(task, jobs)
        return
    # Forked children of a process in which torch has started its threads hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context, initializer=_end_with_parent) as executor:
        futures = [executor.submit(task, job) for job in jobs]
        try:
            yield from (future.result() for future in as_completed(futures))
        except BrokenProcessPool as error:
            raise _worker_lost(num_workers) from error
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _worker_lost(num_workers: int) -> ChildProcessError:
    return ChildProcessError(
        "A worker was ended from outside, perhaps for want of memory. Run the same command again to go on, with fewer "
        f"workers than {num_workers}."
    )


def _end_with_parent() -> None:
    """End this worker when the process that started it is killed; it would wait for work for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _call(task: Callable[[Job], Result], job: Job) -> Result:
    """Run one task; Ray takes no `functools.partial`."""
    return task(job)


def _run_on_ray(task: Callable[[Job], Result], jobs: Sequence[Job], num_workers: int) -> Iterator[Result]:
    require_extra("ray", "scale", "The engine `ray`")
    if not jobs:
        return
    # Ray reports how it is used unless it is told not to, before it is imported.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    started_here = not ray.is_initialized()
    if started_here:
        # A cluster that `RAY_ADDRESS` names has its own number of processors.
        address = os.environ.get("RAY_ADDRESS", "local")
        num_cpus = num_workers if address == "local" else None
        try:
            ray.init(address, num_cpus=num_cpus, include_dashboard=False, log_to_driver=False)
        except Exception as error:  # Ray raises that itself where its processes are too slow to start
            raise ChildProcessError(
                f"Ray did not start: {one_line(error).rstrip('.')}. Run the same command again when the machine "
                "has less to do, or with `--engine local`."
            ) from error
    try:
        remote_task: Any = ray.remote(num_cpus=1)(_call)
        waiting: list[Job] = list(reversed(jobs))
        running: list[Any] = []
        while waiting or running:
            while waiting and len(running) < RAY_TASKS_PER_CPU * num_workers:
                running.append(remote_task.remote(task, waiting.pop()))
            done, running = ray.wait(running)
            yield from ray.get(done)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
        raise _worker_lost(num_workers) from error
    finally:
        if started_here:
            ray.shutdown()
