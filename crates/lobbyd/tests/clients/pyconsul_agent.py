"""py-consul against an agent alone, `python pyconsul_agent.py HTTP_PORT`: the calls that its own tests make of agent,
health, catalog, event, status and coordinate. Not here: writing to the catalog (pyconsul_catalog.py)."""

import threading
import time

import consul
from consul import Check

from pyconsul import connect, eventually, ids, refused, same

c = connect()


def status(check):
    return c.agent.checks()[check]["Status"]


def about_itself():
    me = c.agent.self()
    same(set(me), {"Config", "Coord", "DebugConfig", "Member", "Meta", "Stats", "xDS"})
    same(c.agent.members(), [me["Member"]])
    assert c.status.leader(), "a leader is wanted"
    assert c.status.leader() in c.status.peers()
    same(c.catalog.datacenters(), ["dc1"])
    metrics = c.agent.metrics()
    assert {"Timestamp", "Gauges", "Points", "Counters", "Samples"} <= set(metrics), metrics
    assert isinstance(c.agent.metrics(format_prometheus=True), str)
    refused(lambda: c.agent.monitor(loglevel="nonsense"), consul.exceptions.BadRequest)
    return me["Config"]["NodeName"]


def bare_service():
    same(c.catalog.services()[1], {"consul": []})
    assert c.agent.service.register("foo") is True
    wanted = {
        "ID": "foo",
        "Service": "foo",
        "Tags": [],
        "Meta": {},
        "Port": 0,
        "Address": "",
        "Weights": {"Passing": 1, "Warning": 1},
        "EnableTagOverride": False,
        "Datacenter": "dc1",
    }
    same(c.agent.services(), {"foo": wanted})
    definition = c.agent.service_definition("foo")
    assert definition.pop("ContentHash"), definition
    same(definition, wanted)
    assert c.agent.service.deregister("foo") is True
    assert c.agent.service.deregister("foo") is False
    same(c.agent.services(), {})


def ttl(node):
    name = "app#127.0.0.1#3000"
    lan = {"lan": {"address": "10.5.5.5", "port": 5}}
    options = {"address": "10.1.1.1", "port": 80, "tags": ["a"], "meta": {"k": "v"}, "weights": {"Passing": 10, "Warning": 1}}
    assert c.agent.service.register("web", service_id=name, check=Check.ttl("10s"), tagged_addresses=lan, **options)
    service = c.agent.services()[name]
    same(service["TaggedAddresses"]["lan"], {"Address": "10.5.5.5", "Port": 5})
    same((service["Weights"], service["Meta"]), ({"Passing": 10, "Warning": 1}, {"k": "v"}))
    check = f"service:{name}"
    same(status(check), "critical")
    same(ids(c.health.service("web", passing=True)), [])
    for report, wanted in ((c.agent.check.ttl_warn, "warning"), (c.agent.check.ttl_fail, "critical"), (c.agent.check.ttl_pass, "passing")):
        assert report(check, notes=wanted) is True
        same((status(check), c.agent.checks()[check]["Output"]), (wanted, wanted))
    same(ids(c.health.service("web", passing=True)), [name])
    same(ids(c.health.service("web", tag="a")), [name])
    same(ids(c.health.service("web", tag="b")), [])
    same(ids(c.health.service("web", tag=["a", "b"])), [])
    same(ids(c.health.service("web", filter_expr=f'Service.ID == "{name}"')), [name])
    same([each["CheckID"] for each in c.health.checks("web")[1]], [check])
    same([each["CheckID"] for each in c.health.node(node)[1]], ["serfHealth", check])
    same([each["CheckID"] for each in c.health.state("passing")[1]], ["serfHealth", check])
    same(c.agent.check.ttl_pass("service:nobody"), False)

    # A waiting reader hears of a change, and of nothing before it.
    index, _ = c.health.service("web", passing=True)
    reporter = threading.Timer(0.3, lambda: connect().agent.check.ttl_fail(check))
    reporter.start()
    started = time.monotonic()
    later, entries = c.health.service("web", passing=True, index=index, wait="10s")
    assert time.monotonic() - started >= 0.25, "answered before the change"
    same((int(later) > int(index), entries), (True, []))
    reporter.join()
    # Without a change it ends with its wait.
    started = time.monotonic()
    same(c.health.service("web", passing=True, index=later, wait="100ms")[0], later)
    assert time.monotonic() - started >= 0.1
    return name


def maintenance(name):
    assert c.agent.check.ttl_pass(f"service:{name}")
    assert c.agent.maintenance(True, reason="new kernel") is True
    check = c.agent.checks()["_node_maintenance"]
    same((check["Status"], check["Notes"]), ("critical", "new kernel"))
    same(ids(c.health.service("web", passing=True)), [])
    assert c.agent.maintenance(False) is True
    assert c.agent.service.maintenance(name, True, "new disks") is True
    same(c.agent.checks()[f"_service_maintenance:{name}"]["Notes"], "new disks")
    assert c.agent.service.maintenance(name, False) is True
    same(ids(c.health.service("web", passing=True)), [name])
    same(c.agent.service.maintenance("nobody", True), False)


def checks(name):
    assert c.agent.check.register("disk", Check.ttl("100ms"), check_id="disk-1", notes="of the node") is True
    assert c.agent.check.ttl_pass("disk-1")
    eventually(lambda: same(status("disk-1"), "critical"))
    same(ids(c.health.service("web", passing=True)), [])
    assert c.agent.check.deregister("disk-1") is True
    assert c.agent.check.deregister("disk-1") is False

    assert c.agent.check.register("more", Check.ttl("1h"), service_id=name) is True
    same(c.agent.checks()["more"]["ServiceName"], "web")
    assert not c.agent.check.register("more", Check.ttl("1h"), service_id="nobody")
    assert c.agent.check.deregister("more") is True

    # Real checks of the agent by itself. The interval is below the least that Consul takes.
    base = f"http://127.0.0.1:{c.http.port}/"
    assert c.agent.service.register("self", check=Check.http(base, "100ms"), extra_checks=[Check.tcp("127.0.0.1", c.http.port, 10)])
    eventually(lambda: same((status("service:self:1"), status("service:self:2")), ("passing", "passing")))
    assert c.agent.service.deregister("self")
    same([each for each in c.agent.checks() if each.startswith("service:self")], [])

    script = Check.script(["true"], 10)
    err = refused(lambda: c.agent.service.register("scripted", check=script), consul.exceptions.BadRequest, consul.ConsulException)
    assert "enable_script_checks" in str(err), err
    refused(lambda: c.agent.service.register("bad", check=Check.ttl("soon")), consul.exceptions.BadRequest)
    same(sorted(c.agent.services()), [name])


def catalog(node, name):
    same(c.catalog.services()[1], {"consul": [], "web": ["a"]})
    (mine,) = c.catalog.nodes()[1]
    same((mine["Node"], mine["Datacenter"]), (node, "dc1"))
    same([each["ServiceID"] for each in c.catalog.service("web", tag="a")[1]], [name])
    same(c.catalog.service("web", tag="b")[1], [])
    same(c.catalog.service("nobody")[1], [])
    same([each["ServiceID"] for each in c.catalog.service("web", near=node, filter_expr="ServiceMeta.k == v")[1]], [name])
    same(set(c.catalog.node(node)[1]["Services"]), {"consul", name})
    same(c.catalog.node("nobody")[1], None)
    for empty in (c.health.connect("web"), c.health.ingress("web"), c.catalog.connect("web")):
        same(empty[1], [])
    same(c.catalog.gateway_services("web"), [])
    for consistency in ("default", "consistent", "stale"):
        same(len(c.catalog.nodes(consistency=consistency)[1]), 1)
    for call in (c.catalog.nodes, c.catalog.services, lambda dc: c.catalog.node(node, dc=dc), lambda dc: c.health.service("web", dc=dc)):
        refused(lambda call=call: call(dc="dc2"))
    refused(lambda: c.catalog.nodes(filter_expr="not a valid expression(("))
    same(len(c.catalog.nodes(filter_expr="Node != `` ")[1]), 1)


def events():
    fired = c.event.fire("fooname", "foobody")
    same((fired["Name"], fired["LTime"]), ("fooname", 0))
    index, listed = c.event.list("fooname")
    same([(each["ID"], each["Payload"]) for each in listed], [(fired["ID"], b"foobody")])
    assert int(index) > 0
    same(c.event.list("othername"), ("1", []))


def coordinates(node):
    (dc,) = c.coordinate.datacenters()
    same(set(dc), {"Datacenter", "AreaID", "Coordinates"})
    (mine,) = c.coordinate.nodes()[1]
    same((mine["Node"], len(mine["Coord"]["Vec"])), (node, 8))
    same(c.coordinate.node(node)[1], [mine])


node = about_itself()
bare_service()
name = ttl(node)
maintenance(name)
checks(name)
catalog(node, name)
events()
coordinates(node)
