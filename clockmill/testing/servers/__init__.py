"""Servers that tests and benchmarks start themselves, each in a temporary folder and on free ports."""

from clockmill.testing.servers.base import Server, ServerMissing, free_port
from clockmill.testing.servers.postgres import CARELESS, PostgresServer, postgres_binaries, postgres_server
from clockmill.testing.servers.rabbit import RabbitServer, rabbit_server
from clockmill.testing.servers.redis import RedisServer, redis_server
from clockmill.testing.servers.s3 import S3Server, s3_server

__all__ = [
    "CARELESS",
    "PostgresServer",
    "RabbitServer",
    "RedisServer",
    "S3Server",
    "Server",
    "ServerMissing",
    "free_port",
    "postgres_binaries",
    "postgres_server",
    "rabbit_server",
    "redis_server",
    "s3_server",
]
