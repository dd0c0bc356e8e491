"""The figures of docs/service.md, from `results`."""

from typing import Any


def block(load: dict[str, Any], kills: list[dict[str, Any]], hostile: dict[str, Any]) -> str:
    """Sentences: load, kills on each database, broken files."""
    return "\n".join(
        [
            f"On {load['machine']}:",
            "",
            loaded(load),
            beside(load["beside_two_hours"]),
            *map(killed, kills),
            broken(hostile),
        ]
    )


def loaded(load: dict[str, Any]) -> str:
    """Of uploads that come at once."""
    rounds = load["rounds"]
    rates, p95 = (sorted(one[key] for one in rounds) for key in ("files_per_s", "p95_s"))
    lost = sum(one["uploads"] - one["answered"] for one in rounds)
    return (
        f"- **Load** (`benchmarks/service_load.py`): {rounds[0]['uploads']} uploads of 5 s at once, "
        f"{len(rates)} times: {lost} lost, {sum(one['server_errors'] for one in rounds)} with a 5xx; "
        f"{rates[0]:.1f} to {rates[-1]:.1f} files/s, {100 * load['share_of_scan']:.0f} % of\n  "
        f"`earwitness scan` on the same files; 95 % within {p95[0]:.0f} to {p95[-1]:.0f} s: their queue."
    )


def beside(found: dict[str, Any]) -> str:
    """Of short uploads while a long one is heard."""
    return (
        f"- **Beside two hours** of audio that are heard meanwhile, an upload of 5 s takes "
        f"{found['beside_p50_s']:.2f} s (longest\n  {found['beside_max_s']:.2f}); "
        f"alone {found['alone_p50_s']:.2f}."
    )


def killed(one: dict[str, Any]) -> str:
    """Of one database."""
    name = "PostgreSQL" if "--postgres" in one["command"] else "SQLite"
    whole, kills = one["audit_broken"] is None, one["kills"]
    return (
        f"- **`kill -9`, {name}** (`benchmarks/service_kills.py`): {kills['server']} times the server, "
        f"{kills['worker']} times a worker,\n  at random moments under load: of "
        f"{one['accepted_by_service']:,} accepted uploads {one['never_answered'] + one['lost']} were never "
        f"answered,\n  {one['answered_twice']} twice; the audit chain of {one['audit_entries']:,} entries "
        + ("verifies." if whole else f"breaks at {one['audit_broken']}.")
    )


def broken(hostile: dict[str, Any]) -> str:
    """Of mutated files and of requests made from the description."""
    found, server, worker = (hostile[key] for key in ("found", "server_mib", "largest_worker_mib"))
    return (
        f"- **Broken files** (`benchmarks/service_hostile.py`): {hostile['files']:,} mutated recordings, "
        f"{found['200']:,} answered with 200\n  ({found['error']:,} of them as errors); the server held "
        f"{server[1]} MiB after the first fifth and {server[-1]} at the end, the\n  largest worker "
        f"{worker[1]} and {worker[-1]}; {hostile['files_of_nobody']} files were left over. Schemathesis over "
        f"the OpenAPI\n  description: {', '.join(hostile['schemathesis'].get('cases', ['not run']))}."
    )
