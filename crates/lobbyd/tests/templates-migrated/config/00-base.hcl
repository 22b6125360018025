// What a base image brings along.
consul {
  address = "127.0.0.1:8500"

  auth {
    enabled = false
  }

  retry {
    enabled     = true
    attempts    = 12
    backoff     = "250ms"
    max_backoff = "1m"
  }
}

reload_signal = "SIGHUP"
kill_signal   = "SIGINT"
max_stale     = "10m"
log_level     = "warn"
pid_file      = "consul-template.pid"

wait {
  min = "2s"
  max = "10s"
}

# Without effect, but in many a file.
deduplicate {
  enabled = true
  prefix  = "consul-template/dedup/"
}

vault {
  address     = "https://vault.example.com:8200"
  renew_token = false
}

syslog {
  enabled  = true
  facility = "LOCAL5"
}
