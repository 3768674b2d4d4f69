// Reads a store node's history with js-waku over WebSocket and compares it with
// what the node is known to hold.
//
//   node read_history.mjs MULTIADDR CLUSTER SHARD EXPECTED.json [PAGE_SIZE]
//
// MULTIADDR: /ip4/127.0.0.1/tcp/1234/ws/p2p/12D3...
// EXPECTED.json: what the node holds, in forward order: an array of {hash (hex),
// pubsub_topic, content_topic, timestamp (decimal string, ns), payload (hex),
// meta (hex or null)}. Messages of other pubsub topics than CLUSTER's SHARD may
// be among them; they must not come back.
//
// One line per check; 0 if all hold, 1 at the first difference or failure (also
// of the dial, and after TIMEOUT_MS whatever happens), 2 for wrong arguments.

import { readFileSync } from "node:fs";

const TIMEOUT_MS = Number(process.env.TIMEOUT_MS ?? 60_000);
const DIAL_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 3_000;
const DAY_MS = 24 * 60 * 60 * 1000;
// nwaku takes no more content topics in one query.
const MAX_CONTENT_TOPICS = 10;
// Large enough to need several pages.
const MAX_HASHES = 20;

// Node.js 20 lacks it, and js-waku's dependencies use it: it has to be there
// before they are loaded, so they are imported dynamically below.
Promise.withResolvers ??= function () {
  const result = {};
  result.promise = new this((resolve, reject) => Object.assign(result, { resolve, reject }));
  return result;
};

class Difference extends Error {}

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const unhex = (text) => Uint8Array.from(Buffer.from(text, "hex"));

// What a difference shows of a text: all of it, or some from shortly before the
// first place where it is not the other.
function shown(text, other) {
  if (text.length <= 96) return `'${text}'`;
  let at = 0;
  while (at < text.length && text[at] === other[at]) at += 1;
  at = Math.max(0, at - 16);
  return `'${text.slice(at, at + 64)}' from character ${at} of ${text.length}`;
}

function chunks(list, size) {
  const result = [];
  for (let i = 0; i < list.length; i += size) result.push(list.slice(i, i + size));
  return result;
}

function within(promise, milliseconds, what) {
  let timer;
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing after ${milliseconds} ms`)), milliseconds);
  });
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}

function readExpected(path) {
  const list = JSON.parse(readFileSync(path, "utf8"));
  if (!Array.isArray(list)) throw new Error(`${path} holds no array`);
  return list.map((entry, i) => {
    for (const key of ["hash", "pubsub_topic", "content_topic", "timestamp", "payload"]) {
      if (typeof entry[key] !== "string") throw new Error(`${path}: entry ${i} has no string '${key}'`);
    }
    return {
      hash: entry.hash.toLowerCase().replace(/^0x/, ""),
      pubsubTopic: entry.pubsub_topic,
      contentTopic: entry.content_topic,
      timestamp: BigInt(entry.timestamp),
      payload: entry.payload.toLowerCase().replace(/^0x/, ""),
      meta: (entry.meta ?? "").toLowerCase().replace(/^0x/, ""),
    };
  });
}

function compareMessage(where, got, want) {
  if (got === undefined) {
    // The decoder hands out nothing for a version other than 0 or a content
    // topic that was not asked for.
    throw new Difference(`${where}: js-waku could not decode it; expected ${want.hash} of ${want.contentTopic}`);
  }
  // Private in TypeScript alone, and the only place that keeps the nanoseconds.
  const timestamp = got.proto.timestamp ?? 0n;
  const fields = [
    ["content topic", got.contentTopic, want.contentTopic],
    ["timestamp", String(timestamp), String(want.timestamp)],
    ["payload", hex(got.payload), want.payload],
    ["meta", hex(got.meta ?? []), want.meta],
    ["pubsub topic", got.pubsubTopic, want.pubsubTopic],
  ];
  // js-waku leaves a zero timestamp out of the hash, where nwaku hashes zeros.
  if (timestamp !== 0n) fields.push(["hash that js-waku computes of it", hex(got.hash), want.hash]);
  for (const [name, is, should] of fields) {
    if (is !== should) {
      throw new Difference(`${where}: ${name} is ${shown(is, should)}, expected ${shown(should, is)} (message ${want.hash})`);
    }
  }
}

function comparePages(pages, want) {
  pages.forEach((page, p) => {
    if (p >= want.length) {
      throw new Difference(
        `page ${p + 1} should not be there: expected ${want.length} pages; its first message is ` +
          (page[0] ? hex(page[0].hash) : "not decodable"),
      );
    }
    page.slice(0, want[p].length).forEach((got, i) => {
      compareMessage(`page ${p + 1}, message ${i + 1}`, got, want[p][i]);
    });
    if (page.length !== want[p].length) {
      throw new Difference(`page ${p + 1} has ${page.length} messages, expected ${want[p].length}`);
    }
  });
  // Also what js-waku makes of a stream that it could not open: it logs that
  // and ends the query as though there were no more.
  if (pages.length !== want.length) {
    throw new Difference(`${pages.length} pages, expected ${want.length}`);
  }
}

async function readHistory(node, { shard, pubsubTopic, expected, pageSize }) {
  const here = expected.filter((message) => message.pubsubTopic === pubsubTopic);
  if (here.length === 0) throw new Error(`the expected file has no message of ${pubsubTopic}`);

  const counts = new Map();
  for (const { contentTopic } of here) counts.set(contentTopic, (counts.get(contentTopic) ?? 0) + 1);
  const topics = [...counts.keys()];
  const topic = topics.reduce((best, next) => (counts.get(next) > counts.get(best) ? next : best));
  const ofTopic = here.filter((message) => message.contentTopic === topic);

  const decoders = (contentTopics) =>
    contentTopics.map((contentTopic) => node.createDecoder({ contentTopic, shardId: shard }));

  async function query(contentTopics, options) {
    const pages = [];
    const all = { paginationLimit: pageSize, paginationForward: true, ...options };
    for await (const page of node.store.queryGenerator(decoders(contentTopics), all)) {
      pages.push(await Promise.all(page));
      // A node that ignores the cursor would be asked for ever.
      if (pages.length > expected.length + 1) throw new Difference(`no end after ${pages.length} pages`);
    }
    return pages;
  }

  let number = 0;
  async function check(name, run) {
    number += 1;
    const started = performance.now();
    let summary;
    try {
      summary = await run();
    } catch (error) {
      error.message = `${name}: ${error.message}`;
      throw error;
    }
    console.log(`ok ${number} ${name}: ${summary} (${Math.round(performance.now() - started)} ms)`);
  }
  const told = (list, pages) => `${list.length} messages in ${pages.length} pages of up to ${pageSize}`;

  await check("forward", async () => {
    const pages = await query([topic], {});
    comparePages(pages, chunks(ofTopic, pageSize));
    return told(ofTopic, pages);
  });

  await check("backward", async () => {
    const pages = await query([topic], { paginationForward: false });
    // The newest page comes first, and each page is in forward order.
    const want = chunks([...ofTopic].reverse(), pageSize).map((page) => page.reverse());
    comparePages(pages, want);
    return told(ofTopic, pages);
  });

  await check("time range", async () => {
    const milliseconds = (i) => Number(ofTopic[i].timestamp / 1_000_000n);
    const start = milliseconds(Math.floor(ofTopic.length / 4));
    // js-waku cuts more than a day into days, and forgets the last of them.
    const end = Math.min(milliseconds(Math.floor((ofTopic.length * 3) / 4)) + 1, start + DAY_MS);
    // It multiplies as floating point numbers: this is what it sends. What has
    // exactly time_end is within, as with nwaku.
    const [from, to] = [BigInt(start * 1_000_000), BigInt(end * 1_000_000)];
    const want = ofTopic.filter(({ timestamp }) => timestamp >= from && timestamp <= to);
    const pages = await query([topic], { timeStart: new Date(start), timeEnd: new Date(end) });
    comparePages(pages, chunks(want, pageSize));

    const after = milliseconds(ofTopic.length - 1) + 1000;
    const none = await query([topic], { timeStart: new Date(after), timeEnd: new Date(after + 1000) });
    comparePages(none, []);
    return `${told(want, pages)} from ${from} to ${to}, and none after the last`;
  });

  await check("hash list", async () => {
    const step = Math.max(1, Math.ceil(here.length / MAX_HASHES));
    const want = here.filter((_, i) => i % step === 0);
    // Asked for out of order, and with one that no message has.
    const messageHashes = [...want].reverse().map((message) => unhex(message.hash));
    messageHashes.push(new Uint8Array(32).fill(0xa5));
    const contentTopics = [...new Set(want.map((message) => message.contentTopic))];
    const pages = await query(contentTopics, { messageHashes });
    comparePages(pages, chunks(want, pageSize));
    const backward = await query(contentTopics, { messageHashes, paginationForward: false });
    comparePages(backward, chunks([...want].reverse(), pageSize).map((page) => page.reverse()));
    const one = await query([want[0].contentTopic], { messageHashes: [unhex(want[0].hash)] });
    comparePages(one, [[want[0]]]);
    comparePages(await query(contentTopics, { messageHashes: messageHashes.slice(-1) }), []);
    return `${told(want, pages)}, both ways, one alone, and nothing for a hash that is not there`;
  });

  await check("which hashes are there", async () => {
    const want = ofTopic.slice(0, MAX_HASHES);
    const messageHashes = want.map((message) => unhex(message.hash));
    messageHashes.push(new Uint8Array(32).fill(0xa5));
    const pages = await query([topic], { messageHashes, includeData: false });
    // The client shows nothing of an entry without data, but counts and pages.
    const [sizes, should] = [pages, chunks(want, pageSize)].map((list) => list.map((page) => page.length).join(" "));
    if (sizes !== should) throw new Difference(`pages of ${sizes || "nothing"}, expected ${should}`);
    return `${want.length} of ${messageHashes.length}`;
  });

  await check("several content topics", async () => {
    const asked = topics.slice(0, MAX_CONTENT_TOPICS);
    const want = here.filter((message) => asked.includes(message.contentTopic));
    const pages = await query(asked, {});
    comparePages(pages, chunks(want, pageSize));
    return `${told(want, pages)}, of ${asked.length} topics`;
  });

  await check("from a cursor", async () => {
    const at = Math.floor(ofTopic.length / 2);
    // store.createCursor() would hash the timestamp cut to milliseconds.
    const paginationCursor = unhex(ofTopic[at].hash);
    const after = await query([topic], { paginationCursor });
    comparePages(after, chunks(ofTopic.slice(at + 1), pageSize));
    const before = await query([topic], { paginationCursor, paginationForward: false });
    const want = chunks(ofTopic.slice(0, at).reverse(), pageSize).map((page) => page.reverse());
    comparePages(before, want);
    return `${ofTopic.length - at - 1} messages after it, ${at} before it`;
  });

  await check("hashes alone", async () => {
    // The client shows nothing of an entry without data, but counts and pages.
    const pages = await query([topic], { includeData: false });
    const [sizes, want] = [pages, chunks(ofTopic, pageSize)].map((list) => list.map((page) => page.length).join(" "));
    if (sizes !== want) throw new Difference(`pages of ${sizes || "nothing"}, expected ${want}`);
    const data = pages.flat().find((message) => message !== undefined);
    if (data) throw new Difference(`message ${hex(data.hash)} came with its data`);
    return told(ofTopic, pages);
  });

  return number;
}

function usage(problem) {
  console.error(`${problem}\nusage: node read_history.mjs MULTIADDR CLUSTER SHARD EXPECTED.json [PAGE_SIZE]`);
  process.exit(2);
}

function integer(text, name, least) {
  const value = Number(text);
  if (!/^\d+$/.test(text ?? "") || value < least || value > 65535) usage(`no ${name}: ${text}`);
  return value;
}

const watchdog = setTimeout(() => {
  console.error(`FAILED: not done after ${TIMEOUT_MS / 1000} s`);
  process.exit(1);
}, TIMEOUT_MS);

// js-waku and libp2p drop some promises; what matters of them shows in a check.
process.on("unhandledRejection", (reason) => console.error(`note: unhandled rejection: ${reason}`));

const [address, clusterText, shardText, path, pageSizeText] = process.argv.slice(2);
if (!path) usage("too few arguments");
if (!address.includes("/p2p/")) usage(`no /p2p/ in the address ${address}`);
const clusterId = integer(clusterText, "cluster", 0);
const shard = integer(shardText, "shard", 0);
const pageSize = integer(pageSizeText ?? "7", "page size", 1);

let node;
let status = 1;
try {
  const expected = readExpected(path);
  const { createLightNode, Protocols } = await import("@waku/sdk");
  node = await createLightNode({
    defaultBootstrap: false,
    autoStart: false,
    networkConfig: { clusterId, shards: [shard] },
    libp2p: {
      filterMultiaddrs: false,
      hideWebSocketInfo: true,
      connectionGater: { denyDialMultiaddr: () => false },
    },
  });
  await node.start();
  await within(node.dial(address, [Protocols.Store]), DIAL_TIMEOUT_MS, `dial ${address}`).catch((error) => {
    throw new Error(`cannot dial ${address}: ${error.errors?.map((e) => e.message).join("; ") || error.message}`);
  });
  // Ends once the peer's metadata has answered, or failed to.
  await within(node.waitForPeers([Protocols.Store]), DIAL_TIMEOUT_MS, "waiting for the peer's metadata");
  const pubsubTopic = `/waku/2/rs/${clusterId}/${shard}`;
  const checks = await readHistory(node, { shard, pubsubTopic, expected, pageSize });
  console.log(`all ${checks} checks passed against ${address}`);
  status = 0;
} catch (error) {
  console.error(`${error instanceof Difference ? "DIFFERENCE" : "FAILED"}: ${error.message}`);
  if (process.env.VERBOSE) console.error(error);
}
try {
  if (node) await within(node.stop(), STOP_TIMEOUT_MS, "node.stop()");
} catch (error) {
  console.error(`note: ${error.message}`);
}
clearTimeout(watchdog);
process.exit(status);
