"""The Celery executor: doorbells by a broker that Celery knows, Redis and RabbitMQ first of all."""
