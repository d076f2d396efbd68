"""The metrics that are not etcd's own: of gRPC, of the process, of the interpreter.

`go_*` names are what dashboards ask for. Those that have a meaning in Python are here with it;
`docs/monitoring.md` lists the others, which are not shown.

Source: shared facts, client.md section 13; `/metrics` of 3.5.1.
"""

from __future__ import annotations

from kvorum.server.metrics.families import MEMBER_FAMILIES
from kvorum.server.metrics.family import Family, Kind, counter, gauge, histogram

HANDLING_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHOD = ("grpc_method", "grpc_service", "grpc_type")

GRPC: tuple[Family, ...] = (
    counter("grpc_server_started_total", "Calls begun.", *_METHOD),
    counter("grpc_server_handled_total", "Calls ended, by status.", "grpc_code", *_METHOD),
    counter("grpc_server_msg_received_total", "Messages of clients.", *_METHOD),
    counter("grpc_server_msg_sent_total", "Messages to clients.", *_METHOD),
    histogram("grpc_server_handling_seconds", HANDLING_SECONDS, "How long calls took.", *_METHOD),
)

PROCESS: tuple[Family, ...] = (
    counter("process_cpu_seconds_total", "Processor time, user and system."),
    gauge("process_max_fds", "File descriptors that may be open."),
    gauge("process_open_fds", "File descriptors that are open."),
    gauge("process_resident_memory_bytes", "Resident memory, mapped files included."),
    gauge("process_start_time_seconds", "Unix time of the start."),
    gauge("process_virtual_memory_bytes", "Address space in use."),
    gauge("process_virtual_memory_max_bytes", "Address space that may be used."),
    gauge("os_fd_limit", "File descriptors that may be open."),
    gauge("os_fd_used", "File descriptors that are open."),
)

INTERPRETER: tuple[Family, ...] = (
    Family("go_gc_duration_seconds", Kind.SUMMARY, "Pauses by Python's garbage collector."),
    gauge("go_goroutines", "Tasks and threads."),
    gauge("go_info", "1, labelled with the version of Python.", "version"),
    gauge("go_threads", "Threads of the process."),
    gauge("go_memstats_alloc_bytes", "Resident memory that belongs to no file."),
    gauge("go_memstats_gc_cpu_fraction", "Part of the time that went to garbage collection."),
    gauge("go_memstats_heap_alloc_bytes", "Resident memory that belongs to no file."),
    gauge("go_memstats_heap_inuse_bytes", "Resident memory that belongs to no file."),
    gauge("go_memstats_heap_objects", "Blocks that Python's allocator has given out."),
    gauge("go_memstats_heap_sys_bytes", "Address space of data."),
    gauge("go_memstats_last_gc_time_seconds", "Unix time of the newest garbage collection."),
    gauge("go_memstats_stack_inuse_bytes", "Stack of the main thread."),
    gauge("go_memstats_stack_sys_bytes", "Stack of the main thread."),
    gauge("go_memstats_sys_bytes", "Address space of data."),
)

SCRAPES: tuple[Family, ...] = (
    gauge("promhttp_metric_handler_requests_in_flight", "Requests for metrics under way."),
    counter("promhttp_metric_handler_requests_total", "Answers to them, by status.", "code"),
)

FAMILIES: tuple[Family, ...] = tuple(
    sorted(
        (*MEMBER_FAMILIES, *GRPC, *PROCESS, *INTERPRETER, *SCRAPES),
        key=lambda family: family.name,
    )
)
"""Everything that `/metrics` can show, in its order."""
