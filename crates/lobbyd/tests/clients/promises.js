// npm consul 2 against an agent alone: `node promises.js HTTP_PORT`. Ends with 0 when every answer had the shape that
// Consul's own has, and every watch told of every change and of nothing else.
'use strict';

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const Consul = require('consul');

const port = Number(process.argv[2]);
const consul = new Consul({ host: '127.0.0.1', port });
const WITHIN = 20_000;

/** Polls until `look` returns without an error. */
async function eventually(look) {
  const end = Date.now() + WITHIN;
  for (;;) {
    try {
      return await look();
    } catch (err) {
      if (Date.now() > end) throw err;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** A watch. `until` waits for the first change that is wanted, not before the one found last. */
function watch(options) {
  const watcher = consul.watch({ method: consul.health.service, options });
  const seen = { changes: [], errors: [], at: 0 };
  watcher.on('change', (data) => seen.changes.push(data));
  watcher.on('error', (err) => seen.errors.push(err));
  seen.until = (wanted) =>
    eventually(() => {
      const found = seen.changes.findIndex((data, at) => at >= seen.at && wanted(data));
      assert.notEqual(found, -1, `not among ${JSON.stringify(seen.changes)}`);
      seen.at = found;
    });
  seen.end = () => watcher.end();
  return seen;
}

const ids = (entries) => entries.map((entry) => entry.Service.ID);
const status = async (id) => (await consul.agent.checks())[id]?.Status;
const rejects = (promise, code) => assert.rejects(promise, (err) => err.statusCode === code);

async function self() {
  const self = await consul.agent.self();
  assert.deepEqual(Object.keys(self).sort(), ['Config', 'Coord', 'DebugConfig', 'Member', 'Meta', 'Stats', 'xDS']);
  for (const value of Object.values(self)) assert.equal(typeof value, 'object');
  assert.equal(self.Config.Datacenter, 'dc1');
  assert.match(self.Config.Version, /^\d+\.\d+\.\d+/);
  assert.deepEqual(await consul.agent.members(), [self.Member]);
  assert.equal(await consul.status.leader(), self.Stats.consul.leader_addr);
  assert.deepEqual(await consul.status.peers(), [self.Stats.consul.leader_addr]);
  assert.deepEqual(await consul.catalog.datacenters(), ['dc1']);
  return self.Config.NodeName;
}

async function fresh(node) {
  assert.deepEqual(await consul.catalog.service.list(), { consul: [] });
  assert.deepEqual(await consul.agent.services(), {});
  assert.deepEqual(await consul.agent.checks(), {});
  assert.deepEqual(await consul.health.service('nobody'), []);
  assert.deepEqual((await consul.catalog.node.list()).map((each) => each.Node), [node]);
  const any = await consul.health.state('any');
  assert.deepEqual(any.map((check) => [check.CheckID, check.Status]), [['serfHealth', 'passing']]);
}

async function ttl(node) {
  await consul.agent.service.register({
    name: 'web',
    id: 'web-1',
    address: '10.9.0.7',
    port: 8080,
    tags: ['b', 'a'],
    meta: { zone: 'z1' },
    check: { ttl: '10s', notes: 'beats' },
  });
  const local = (await consul.agent.services())['web-1'];
  assert.deepEqual({ ...local, TaggedAddresses: undefined }, {
    ID: 'web-1',
    Service: 'web',
    Tags: ['b', 'a'],
    Meta: { zone: 'z1' },
    Port: 8080,
    Address: '10.9.0.7',
    TaggedAddresses: undefined,
    Weights: { Passing: 1, Warning: 1 },
    EnableTagOverride: false,
    Datacenter: 'dc1',
  });
  assert.equal(await status('service:web-1'), 'critical');
  assert.deepEqual(await consul.health.service({ service: 'web', passing: true }), []);

  const seen = watch({ service: 'web', passing: true });
  await seen.until((data) => data.length === 0);
  await consul.agent.check.pass({ id: 'service:web-1', note: 'all is well' });
  await seen.until((data) => ids(data).join() === 'web-1');

  const [entry] = await consul.health.service({ service: 'web', passing: true });
  assert.equal(entry.Node.Node, node);
  assert.equal(entry.Node.Datacenter, 'dc1');
  assert.match(entry.Node.ID, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  assert.equal(entry.Service.Address, '10.9.0.7');
  assert.deepEqual(entry.Service.Meta, { zone: 'z1' });
  assert.ok(Number.isSafeInteger(entry.Service.ModifyIndex) && entry.Service.ModifyIndex >= entry.Service.CreateIndex);
  assert.deepEqual(entry.Checks.map((check) => check.CheckID), ['serfHealth', 'service:web-1']);
  const check = entry.Checks[1];
  const { Name, Status, Output, Notes, ServiceID, ServiceName, ServiceTags, Type } = check;
  assert.deepEqual({ Name, Status, Output, Notes, ServiceID, ServiceName, ServiceTags, Type }, {
    Name: "Service 'web' check",
    Status: 'passing',
    Output: 'all is well',
    Notes: 'beats',
    ServiceID: 'web-1',
    ServiceName: 'web',
    ServiceTags: ['b', 'a'],
    Type: 'ttl',
  });

  assert.deepEqual(await consul.catalog.service.list(), { consul: [], web: ['a', 'b'] });
  const [listed] = await consul.catalog.service.nodes('web');
  assert.deepEqual([listed.Node, listed.ServiceID, listed.ServiceAddress, listed.ServicePort], [node, 'web-1', '10.9.0.7', 8080]);
  assert.deepEqual(Object.keys((await consul.catalog.node.services(node)).Services).sort(), ['consul', 'web-1']);
  assert.equal((await consul.catalog.node.services('nobody')) ?? null, null);
  assert.deepEqual(ids(await consul.health.service({ service: 'web', tag: 'a' })), ['web-1']);
  assert.deepEqual(ids(await consul.health.service({ service: 'web', tag: 'c' })), []);
  assert.deepEqual(ids(await consul.health.service({ service: 'web', filter: 'Service.Meta.zone == z1' })), ['web-1']);
  await rejects(consul.health.service({ service: 'web', filter: 'not a filter((' }), 400);
  await rejects(consul.health.service({ service: 'web', dc: 'dc2' }), 500);

  for (const [report, want] of [['warn', 'warning'], ['fail', 'critical'], ['pass', 'passing']]) {
    await consul.agent.check[report]('service:web-1');
    assert.equal(await status('service:web-1'), want);
  }
  await rejects(consul.agent.check.pass('service:nobody'), 404);
  seen.end();
  assert.deepEqual(seen.errors, []);
}

async function maintenance() {
  const seen = watch({ service: 'web', passing: true });
  await seen.until((data) => ids(data).join() === 'web-1');
  await consul.agent.service.maintenance({ id: 'web-1', enable: true, reason: 'new disks' });
  await seen.until((data) => data.length === 0);
  const check = (await consul.agent.checks())['_service_maintenance:web-1'];
  assert.deepEqual([check.Status, check.Notes, check.ServiceID], ['critical', 'new disks', 'web-1']);
  await consul.agent.service.maintenance({ id: 'web-1', enable: false });
  await seen.until((data) => ids(data).join() === 'web-1');

  await consul.agent.maintenance({ enable: true, reason: 'new kernel' });
  await seen.until((data) => data.length === 0);
  assert.equal((await consul.agent.checks())._node_maintenance.Notes, 'new kernel');
  await consul.agent.maintenance(false);
  await seen.until((data) => ids(data).join() === 'web-1');
  await rejects(consul.agent.service.maintenance({ id: 'nobody', enable: true }), 404);
  seen.end();
  assert.deepEqual(seen.errors, []);
}

/** A program that an HTTP check looks at is killed: out of `passing`, and still there without it. */
async function killed() {
  const program = "require('http').createServer((_, res) => res.end()).listen(0, '127.0.0.1', function () { console.log(this.address().port) })";
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const http = Number(String((await once(child.stdout, 'data'))[0]));
    const check = { http: `http://127.0.0.1:${http}/`, interval: '1s', timeout: '1s' };
    await consul.agent.service.register({ name: 'child', port: http, check });
    const seen = watch({ service: 'child', passing: true });
    await seen.until((data) => ids(data).join() === 'child');
    child.kill('SIGKILL');
    await seen.until((data) => data.length === 0);
    const [entry] = await consul.health.service('child');
    assert.equal(entry.Checks.find((each) => each.CheckID === 'service:child').Status, 'critical');
    seen.end();
    assert.deepEqual(seen.errors, []);
  } finally {
    child.kill('SIGKILL');
  }
  await consul.agent.service.deregister('child');
}

/** Its TTL runs out: critical, and the watch hears of it. */
async function silent() {
  await consul.agent.service.register({ name: 'silent', checks: [{ ttl: '2s', status: 'passing' }, { ttl: '1h', status: 'passing' }] });
  const seen = watch({ service: 'silent', passing: true });
  await seen.until((data) => ids(data).join() === 'silent');
  await seen.until((data) => data.length === 0);
  assert.equal(await status('service:silent:1'), 'critical');
  assert.equal(await status('service:silent:2'), 'passing');
  seen.end();
  await consul.agent.service.deregister({ id: 'silent' });
}

async function events() {
  const fired = await consul.event.fire('deploy', 'now');
  assert.deepEqual([fired.Name, fired.Payload, fired.Version], ['deploy', 'now', 1]);
  const listed = await consul.event.list('deploy');
  assert.deepEqual(listed.map((event) => [event.ID, event.Payload]), [[fired.ID, 'now']]);
}

async function gone(node) {
  const seen = watch({ service: 'web' });
  await seen.until((data) => ids(data).join() === 'web-1');
  await consul.agent.check.register({ name: 'disk', ttl: '1h', status: 'passing' });
  assert.deepEqual((await consul.health.node(node)).map((check) => check.CheckID), ['disk', 'serfHealth', 'service:web-1']);
  await consul.agent.check.deregister('disk');
  await consul.agent.service.deregister('web-1');
  await seen.until((data) => data.length === 0);
  await rejects(consul.agent.service.deregister('web-1'), 404);
  seen.end();
  assert.deepEqual(seen.errors, []);
  await fresh(node);
}

async function main() {
  const node = await self();
  await fresh(node);
  await ttl(node);
  await maintenance();
  await killed();
  await silent();
  await events();
  await gone(node);
}

main().then(
  () => process.exit(0),
  (err) => {
    console.error(err);
    process.exit(1);
  },
);
