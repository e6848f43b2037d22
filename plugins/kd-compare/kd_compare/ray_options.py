"""The options of the launcher `ray`."""

from __future__ import annotations

from pydantic import Field

from kdcore import Options


class RayOptions(Options):
    """Options of the launcher `ray`."""

    address: str | None = Field(
        None,
        description="The cluster, as ray.init takes it: 'auto', 'HOST:PORT' or 'local'. None: the one of RAY_ADDRESS, "
        "or one that was started on this machine; otherwise Ray is started on this machine for this call.",
    )
    gpus: float | None = Field(
        None, ge=0, description="GPUs of a run; 0.5: two runs share one. None: one if the cluster has any."
    )
    cpus: float | None = Field(
        None, ge=0, description="Processors of a run. None: one, and one for each process that loads images."
    )
    memory: int | None = Field(None, ge=1, description="Bytes of memory that a run needs.")
    threads: int | None = Field(
        None, ge=1, description="Threads of a run. None: OMP_NUM_THREADS if it is set, otherwise `cpus`."
    )
    resources: dict[str, float] = Field(
        default_factory=dict, description="Other resources that a run needs, as the cluster names them."
    )
    environment: dict[str, str] = Field(
        default_factory=dict, description="Variables of the runs, in addition to those of Ray's processes."
    )
    retries: int = Field(
        3,
        ge=0,
        description="How many times a run goes on elsewhere from its checkpoint if its machine is lost.",
    )
