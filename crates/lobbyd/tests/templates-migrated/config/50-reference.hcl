# Each key that configuration.md shows and the other files here do not.
block_query_wait     = "60s"
once                 = false
template_error_fatal = true

consul {
  namespace = ""
  token     = ""

  transport {
    dial_keep_alive = "5s"
  }
}

telemetry {
  prometheus {
    reporting_interval = "60s"
    port               = 8888
  }
}

template {
  contents             = "{{ keyOrDefault \"registry/storage@dc1\" \"none\" }}\n"
  destination          = "out/reference/deep/inline.txt"
  create_dest_dirs     = true
  command              = "echo reference >> reloads"
  command_timeout      = "60s"
  error_on_missing_key = false
  perms                = 0600
  backup               = true
  left_delimiter       = "{{"
  right_delimiter      = "}}"
  function_blacklist   = ["plugin"]
  sandbox_path         = "in"

  wait {
    min = "2s"
    max = "10s"
  }
}

exec {
  command       = "/usr/bin/env | /usr/bin/sort > child; exit 0"
  splay         = "0s"
  reload_signal = ""
  kill_signal   = "SIGTERM"
  kill_timeout  = "2s"

  env {
    pristine  = false
    custom    = ["APP=shop", "PATH=$PATH:/etc/myapp/bin"]
    whitelist = ["DEPLOY*", "PATH", "CONSUL_*"]
    blacklist = ["CONSUL_HTTP_SSL*"]
  }
}
