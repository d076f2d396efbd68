// Scenarios with the npm client `etcd3`: node suite.js HOST:PORT SCENARIO
// Ends with 0 and prints "passed SCENARIO" when the scenario passed.
'use strict';

const assert = require('node:assert/strict');
const { setTimeout: sleep } = require('node:timers/promises');
const { createRequire } = require('node:module');
const path = require('node:path');

// The package is installed into a cache folder, not beside this file.
const modules = process.env.KVORUM_NODE_MODULES || __dirname;
const { Etcd3, EtcdLockFailedError } = createRequire(path.join(modules, 'x.js'))('etcd3');

const WAIT_MS = 15_000;

async function waitFor(what, condition) {
  const giveUp = Date.now() + WAIT_MS;
  while (!(await condition())) {
    assert.ok(Date.now() < giveUp, `waited too long: ${what}`);
    await sleep(50);
  }
}

async function keys(client) {
  assert.equal(await client.get('keys/a'), null);
  await client.put('keys/a').value('1');
  await client.put('keys/b').value(Buffer.from([0, 255]));
  assert.equal(await client.get('keys/a').string(), '1');
  assert.deepEqual(await client.get('keys/b').buffer(), Buffer.from([0, 255]));
  assert.deepEqual(await client.getAll().prefix('keys/').sort('Key', 'Descend').keys(), [
    'keys/b',
    'keys/a',
  ]);
  assert.equal(await client.getAll().prefix('keys/').count(), 2);
  const put = await client.put('keys/a').value('2').exec();
  const earlier = String(BigInt(put.header.revision) - 1n);
  assert.equal(await client.get('keys/a').revision(earlier).string(), '1');
  assert.equal((await client.delete().key('keys/a').exec()).deleted, '1');
  assert.equal((await client.delete().key('keys/a').exec()).deleted, '0');
  assert.equal((await client.delete().prefix('keys/').exec()).deleted, '1');
}

async function transaction(client) {
  await client.put('txn/a').value('1');
  const taken = await client
    .if('txn/a', 'Value', '==', '1')
    .and('txn/no', 'Create', '==', 0)
    .then(client.put('txn/a').value('2'), client.get('txn/a'))
    .else(client.delete().key('txn/a'))
    .commit();
  assert.equal(taken.succeeded, true);
  assert.equal(taken.responses[1].response_range.kvs[0].value.toString(), '2');
  const other = await client
    .if('txn/a', 'Value', '==', '1')
    .then(client.delete().key('txn/a'))
    .else(client.get('txn/a'))
    .commit();
  assert.equal(other.succeeded, false);
  assert.equal(other.responses[0].response_range.kvs[0].value.toString(), '2');
  await client.stm().transact(async (tx) => {
    await tx.put('txn/a').value(`${await tx.get('txn/a').string()}3`);
  });
  assert.equal(await client.get('txn/a').string(), '23');
}

async function watch(client) {
  const first = (await client.put('watch/a').value('1').exec()).header.revision;
  await client.put('watch/a').value('2');
  await client.delete().key('watch/a');
  const watcher = await client.watch().prefix('watch/').startRevision(first).create();
  const seen = [];
  watcher.on('put', (kv) => seen.push(['put', kv.key.toString(), kv.value.toString()]));
  watcher.on('delete', (kv) => seen.push(['delete', kv.key.toString(), '']));
  await waitFor('the past', () => seen.length === 3);
  await client.put('watch/b').value('now');
  await waitFor('the present', () => seen.length === 4);
  assert.deepEqual(seen, [
    ['put', 'watch/a', '1'],
    ['put', 'watch/a', '2'],
    ['delete', 'watch/a', ''],
    ['put', 'watch/b', 'now'],
  ]);
  await watcher.cancel();
}

async function lease(client) {
  const short = client.lease(2, { autoKeepAlive: false });
  const kept = client.lease(2);
  await short.put('lease/short').value('v');
  await kept.put('lease/kept').value('v');
  await waitFor('the lease to expire', async () => (await client.get('lease/short')) === null);
  // The client keeps this one alive by itself, three times in its time to live.
  await sleep(1500);
  assert.equal(await client.get('lease/kept').string(), 'v');
  await kept.revoke();
  assert.equal(await client.get('lease/kept'), null);
}

async function lock(client) {
  const mine = client.lock('door').ttl(10);
  await mine.acquire();
  await assert.rejects(client.lock('door').acquire(), EtcdLockFailedError);
  await mine.release();
  let entered = false;
  await client.lock('door').do(async () => {
    entered = true;
    await assert.rejects(client.lock('door').acquire(), EtcdLockFailedError);
  });
  assert.ok(entered);
}

async function main() {
  const [target, name] = process.argv.slice(2);
  const scenarios = { keys, transaction, watch, lease, lock };
  const client = new Etcd3({ hosts: `http://${target}` });
  try {
    await scenarios[name](client);
  } finally {
    client.close();
  }
  console.log(`passed ${name}`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
