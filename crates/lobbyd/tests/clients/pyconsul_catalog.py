"""py-consul against an agent alone, `python pyconsul_catalog.py HTTP_PORT`: writing to the catalog for nodes without an
agent, as its own tests do. Not here: everything else (pyconsul_agent.py)."""

import consul

from pyconsul import connect, eventually, ids, refused, same

c = connect()


def nodes():
    return [each["Node"] for each in c.catalog.nodes()[1]]


(mine,) = c.catalog.nodes()[1]

# Nodes alone, and who waits for them.
index, _ = c.catalog.nodes()
assert c.catalog.register("n1", "10.1.10.11") is True
later, _ = c.catalog.nodes(index=index, wait="10s")
assert int(later) > int(index)
assert c.catalog.register("n2", "10.1.10.12", tagged_addresses={"wan": "192.0.2.1"}) is True
same(nodes(), sorted([mine["Node"], "n1", "n2"]))
assert mine in c.catalog.nodes()[1], "the agent's own node has not changed"
n2 = next(each for each in c.catalog.nodes()[1] if each["Node"] == "n2")
same((n2["Address"], n2["TaggedAddresses"]["wan"]), ("10.1.10.12", "192.0.2.1"))
refused(lambda: c.catalog.register("n3", "10.1.10.13", dc="dc2"))
same(nodes(), sorted([mine["Node"], "n1", "n2"]))

# A service with a check that nobody but its author judges.
service = {"service": "redis", "id": "redis1", "tags": ["master", "v1"], "port": 8000}
check = {"node": "n1", "checkid": "service:redis1", "name": "by hand", "status": "passing", "serviceid": "redis1"}
assert c.catalog.register("n1", "10.1.10.11", service=service, check=check) is True
same(c.catalog.services()[1], {"consul": [], "redis": ["master", "v1"]})
same(ids(c.health.service("redis", passing=True)), ["redis1"])
(entry,) = c.health.service("redis")[1]
same((entry["Node"]["Node"], entry["Service"]["Port"], entry["Service"]["Address"]), ("n1", 8000, ""))
same([each["CheckID"] for each in entry["Checks"]], ["service:redis1"])

# The check turns, and the one who waits hears of it.
index, _ = c.health.service("redis", passing=True)
assert c.catalog.register("n1", "10.1.10.11", check=dict(check, status="critical"))
later, entries = c.health.service("redis", passing=True, index=index, wait="10s")
same((int(later) > int(index), entries), (True, []))
same([each["Status"] for each in c.health.checks("redis")[1]], ["critical"])

# An address that changes for the service only.
assert c.catalog.register("n1", "10.9.9.9", service=dict(service, port=8001), skip_node_update=True)
(listed,) = c.catalog.service("redis")[1]
same((listed["Address"], listed["ServicePort"]), ("10.1.10.11", 8001))

# Removal: the check, the service, the node; what is not there is removed as well.
assert c.catalog.deregister("n1", check_id="service:redis1") is True
same(ids(c.health.service("redis", passing=True)), ["redis1"])
assert c.catalog.deregister("n1", service_id="redis1") is True
same(c.health.service("redis")[1], [])
same(c.catalog.node("n1")[1]["Services"], {})
for node in ("n1", "n2", "n2"):
    assert c.catalog.deregister(node) is True
same(nodes(), [mine["Node"]])
assert mine in c.catalog.nodes()[1]
refused(lambda: c.catalog.deregister("n1", dc="dc2"))

# What the agent says of itself comes back.
assert c.agent.service.register("own")
assert c.catalog.deregister(mine["Node"], service_id="own") is True
eventually(lambda: same(ids(c.health.service("own", passing=True)), ["own"]))
