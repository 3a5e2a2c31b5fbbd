"""A RabbitMQ server: an Erlang node of our own, which the system's node and its files have nothing to do with."""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from clockmill.testing.servers.base import START_SECONDS, Server, ServerMissing, end, free_port, temporary

ANSWER_SECONDS = 30.0

_NODE = "clockmill@localhost"
#: Processor time is for the others while nothing happens.
_IDLE = ("+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none")


class RabbitServer(Server):
    """A RabbitMQ server of our own, on 127.0.0.1, without plugins; its user is ``guest`` with the password ``guest``.

    It has a port mapper of its own (``epmd``), its own cookie, and its files in the folder, so that it runs as any user
    beside the system's. The program ``rabbitmq-server`` is passed by: it looks at every plugin there is, which takes
    half of the time of a start.

    :param folder: an empty folder.
    :param settings: those of ``rabbitmq.conf`` by name, such as ``{"consumer_timeout": "5000"}``.
    :raises ServerMissing: when no server is installed.
    """

    name = "RabbitMQ"
    poll_seconds = 0.05

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(folder)
        self._home = rabbit_home()
        self._settings = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "disk_free_limit.absolute": "1MB",
            **(settings or {}),
        }
        self._node_port = free_port()
        self._mapper_port = free_port()
        self._mapper: subprocess.Popen[bytes] | None = None
        self._cookie = secrets.token_hex(16)

    def url(self) -> str:
        """The broker URL of the default virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def purge(self) -> None:
        """Throw every message away that waits; those that a consumer has not acknowledged yet stay with it."""
        self.ask("[rabbit_amqqueue:purge(Q) || Q <- rabbit_amqqueue:list()], ok.")

    def wipe(self) -> None:
        """Throw the queues away with all that is in them, while clients are connected."""
        self.ask("[rabbit_amqqueue:delete(Q, false, false, <<>>) || Q <- rabbit_amqqueue:list()], ok.")

    def drop_connections(self) -> int:
        """Cut all clients off; returns how many."""
        cut = "rabbit_networking:close_connections(C, <<>>)"
        return int(self.ask(f"C = rabbit_networking:connections(), {cut}, length(C)."))

    def waiting(self, queue: str) -> int:
        """How many messages wait in a queue; 0 when there is none of that name."""
        found = f'rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"{queue}">>))'
        counted = "[{messages_ready, N}] = rabbit_amqqueue:info(Q, [messages_ready]), N"
        return int(self.ask(f"case {found} of {{ok, Q}} -> {counted}; _ -> 0 end."))

    def ask(self, expression: str) -> str:
        """What an Erlang expression gives in the node, as Erlang writes it.

        :raises RuntimeError: when the node cannot be reached, or the expression fails.
        """
        address = ["-address", f"127.0.0.1:{self._node_port}", "-c", self._cookie]
        try:
            done = subprocess.run(
                ["erl_call", "-r", "-timeout", str(int(ANSWER_SECONDS)), *address, "-e"],
                input=f"{expression}\n", capture_output=True, text=True, check=False, timeout=2 * ANSWER_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"RabbitMQ did not answer {expression}") from error
        answer = done.stdout.strip()
        if done.returncode or not answer.startswith("{ok, "):
            raise RuntimeError(f"RabbitMQ answered {expression} with {answer or done.stderr.strip()}")
        return answer.removeprefix("{ok, ").removesuffix("}")

    def initialise(self) -> None:
        """Write the configuration, and link the libraries that the server needs without its plugins."""
        super().initialise()
        (self.folder / "rabbitmq.conf").write_text("".join(f"{k} = {v}\n" for k, v in self._settings.items()))
        (self.folder / "enabled_plugins").write_text("[].\n")
        (self.folder / "rabbitmq-env.conf").touch()
        cookie = self.folder / ".erlang.cookie"
        cookie.unlink(missing_ok=True)
        cookie.write_text(self._cookie)
        cookie.chmod(0o400)
        self._libraries.mkdir(exist_ok=True)
        for library in (self._home / "plugins").iterdir():
            if not library.name.startswith("rabbitmq_") or library.name.startswith("rabbitmq_prelaunch"):
                with suppress(FileExistsError):
                    (self._libraries / library.name).symlink_to(library)

    def prepare(self) -> None:
        """Start the port mapper: where the node finds none it leaves one behind that nobody stops."""
        self._mapper = self.launch(["epmd", "-port", str(self._mapper_port), "-address", "127.0.0.1"], {})
        deadline = self._clock.monotonic() + START_SECONDS
        while not _accepts(self._mapper_port):
            if self._mapper.poll() is not None or self._clock.monotonic() > deadline:
                raise RuntimeError("Erlang's port mapper did not start")
            self._clock.sleep(0.01)

    def stop(self, mode: signal.Signals | None = None) -> None:
        """Stop the node, and its port mapper with it."""
        super().stop(mode)
        if self._mapper is not None:
            self._mapper.kill()
            end(self._mapper)
            self._mapper = None

    def command(self) -> Sequence[str]:
        """The Erlang node."""
        boot = ["-noinput", "-boot", "start_sasl", "-s", "rabbit", "boot", "+W", "w", *_IDLE]
        network = ["-kernel", "inet_dist_use_interface", "{127,0,0,1}", "prevent_overlapping_partitions", "false"]
        return ["erl", *boot, *network, "-syslog", "logger", "[]", "syslog_error_logger", "false"]

    def environment(self) -> Mapping[str, str]:
        """Where everything is, so that nothing is looked for where the system's node has it."""
        folder = self.folder
        return {
            "HOME": str(folder),
            "SYS_PREFIX": "",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_LIBS": str(self._libraries),
            "ERL_MAX_ETS_TABLES": "50000",
            "ERL_MAX_PORTS": "65536",
            "RABBITMQ_HOME": str(self._home),
            "RABBITMQ_NODENAME": _NODE,
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_PLUGINS_DIR": str(self._libraries),
            "RABBITMQ_MNESIA_BASE": str(self.data),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "config"),
            "RABBITMQ_SCHEMA_DIR": str(folder / "schema"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": "-",
        }

    def is_ready(self, pid: int) -> bool:
        """Whether the node, which alone has this cookie, says that it listens."""
        with suppress(RuntimeError):
            return self.ask("rabbit:is_booted().") == "true"
        return False

    @property
    def _libraries(self) -> Path:
        return self.folder / "libraries"


@contextmanager
def rabbit_server(settings: Mapping[str, str] | None = None) -> Iterator[RabbitServer]:
    """A running RabbitMQ server in a temporary folder, gone with everything in it afterwards.

    :raises ServerMissing: when no server is installed.
    """
    rabbit_home()
    with temporary(lambda folder: RabbitServer(folder, settings), "rabbit") as server:
        yield server


def rabbit_home() -> Path:
    """The folder of the newest RabbitMQ: where Debian puts it.

    :raises ServerMissing: when there is none, or not all of Erlang that it needs.
    """
    homes = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"))
    if not homes or not all(shutil.which(program) for program in ("erl", "epmd", "erl_call")):
        raise ServerMissing("RabbitMQ", "rabbitmq-server")
    return homes[-1]


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
