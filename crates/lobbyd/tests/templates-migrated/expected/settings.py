# Generated; Do Not Edit
DATABASES = {
    "default": {
        "ENGINE": "postgres",
        "HOST": "db.internal",
        "PORT": 5432,
    },
}

CACHES = [
    "redis://10.0.0.6:6379",
    "redis://10.0.0.7:6379",
]

ALLOWED_HOSTS = "www.example.com|api.example.com|cdn.example.com".split("|")
EMAIL = "admin+www@example.com"
LOGGING = """
    engine: postgres
    host: db.internal
    port: 5432
"""
TEMPLATE = "{{ braces stay }}"
SCALE = "small"
