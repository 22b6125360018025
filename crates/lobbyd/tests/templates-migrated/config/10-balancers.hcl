# Those in front.
template {
  source          = "in/haproxy.cfg.ctmpl"
  destination     = "out/haproxy.cfg"
  command         = "echo haproxy >> reloads"
  command_timeout = "60s"
  perms           = 0600
  backup          = true
  wait            = "2s:6s"
}

template {
  source      = "in/nginx-upstreams.conf.ctmpl"
  destination = "out/conf.d/upstreams.conf"
  exec {
    command = ["sh", "-c", "echo nginx >> reloads"]
    timeout = "30s"
  }
  error_on_missing_key = true
}

template {
  source      = "in/apache-balancer.conf.ctmpl"
  destination = "out/balancer.conf"
  command     = "echo apache >> reloads"
}

template {
  source      = "in/backends.vcl.ctmpl"
  destination = "out/backends.vcl"
  /* The same command once more: it is run once. */
  command     = "echo apache >> reloads"
}
