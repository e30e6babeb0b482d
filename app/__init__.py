"""The service: one folder per noun (models, schemas, repository, service, endpoints) behind a FastAPI edge. No torch."""
