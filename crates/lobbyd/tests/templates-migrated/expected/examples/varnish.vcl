# After varnish.md: the service that is always there.

backend consul_consul {
    .host = "127.0.0.1";
}

sub vcl_init {
    new all = directors.round_robin();

    all.add_backend(consul_consul);
}
