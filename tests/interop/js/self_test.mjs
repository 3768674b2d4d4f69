// Tells whether read_history.mjs can tell: runs it against a store node made
// here with js-libp2p, once an honest one and then one for each of the faults
// below, which it has to find. Needs no wakustore.
//
//   node self_test.mjs [FAULT...]

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

Promise.withResolvers ??= function () {
  const result = {};
  result.promise = new this((resolve, reject) => Object.assign(result, { resolve, reject }));
  return result;
};

const { noise } = await import("@chainsafe/libp2p-noise");
const { identify } = await import("@libp2p/identify");
const { mplex } = await import("@libp2p/mplex");
const { webSockets } = await import("@libp2p/websockets");
const { all: anyAddress } = await import("@libp2p/websockets/filters");
const { messageHash } = await import("@waku/core");
const { proto_metadata, proto_store } = await import("@waku/proto");
const { default: all } = await import("it-all");
const lp = await import("it-length-prefixed");
const { pipe } = await import("it-pipe");
const { createLibp2p } = await import("libp2p");
const { Uint8ArrayList } = await import("uint8arraylist");

const CLUSTER = 16;
const SHARD = 3;
const PUBSUB = `/waku/2/rs/${CLUSTER}/${SHARD}`;
const TOPICS = ["/self/1/a/proto", "/self/1/b/proto", "/self/1/c/proto"];
const hex = (bytes) => Buffer.from(bytes).toString("hex");

// In forward order; some share a timestamp, some have no payload or no meta.
const held = Array.from({ length: 60 }, (_, i) => {
  const message = {
    payload: Uint8Array.from({ length: (i * 37) % 300 }, (_, k) => (k * i) & 255),
    contentTopic: TOPICS[i % 5 === 0 ? 1 : i % 7 === 0 ? 2 : 0],
    version: undefined,
    timestamp: 1_763_900_000_123_456_789n + BigInt(Math.floor(i / 2)) * 7_654_321n,
    meta: i % 3 === 0 ? Uint8Array.of(1, i) : undefined,
    rateLimitProof: undefined,
    ephemeral: undefined,
  };
  return { message, hash: messageHash(PUBSUB, message) };
}).sort((a, b) =>
  a.message.timestamp === b.message.timestamp
    ? Buffer.compare(a.hash, b.hash)
    : a.message.timestamp < b.message.timestamp ? -1 : 1,
);

const FAULTS = {
  "nothing is wrong": {},
  "a payload byte differs": {
    message: (m) => (m.payload.length === 111 ? { ...m, payload: m.payload.map((b, i) => (i === 50 ? b ^ 1 : b)) } : m),
  },
  "meta is left out": { message: (m) => ({ ...m, meta: undefined }) },
  "a nanosecond is lost": { message: (m) => ({ ...m, timestamp: (m.timestamp / 10n) * 10n }) },
  "equal timestamps in the wrong order": {
    list: (list) => list.sort((a, b) =>
      a.message.timestamp === b.message.timestamp ? Buffer.compare(b.hash, a.hash) : 0),
  },
  "backward pages newest first": { page: (page, forward) => (forward ? page : page.reverse()) },
  "the cursor is ignored": { request: (r) => ({ ...r, paginationCursor: undefined }) },
  "the cursor's message comes again": { inclusive: true },
  "the time range is ignored": { request: (r) => ({ ...r, timeStart: undefined, timeEnd: undefined }) },
  "the content topics are ignored": { request: (r) => ({ ...r, contentTopics: [] }) },
  "the hashes are ignored": { request: (r) => ({ ...r, messageHashes: [] }) },
  "the last message is lost": { list: (list) => list.slice(0, -1) },
  "data comes unasked": { request: (r) => ({ ...r, includeData: true }) },
  "an error status": { status: 300 },
  "no answer at all": { silent: true },
};

function answer(request, fault) {
  const r = fault.request?.(request) ?? request;
  const isHash = (bytes) => ({ hash }) => Buffer.compare(hash, bytes) === 0;
  let list = held.filter(({ message, hash }) =>
    r.messageHashes.length > 0
      ? r.messageHashes.some((wanted) => Buffer.compare(wanted, hash) === 0)
      : (r.contentTopics.length === 0 || r.contentTopics.includes(message.contentTopic)) &&
        (r.timeStart === undefined || message.timestamp >= r.timeStart) &&
        (r.timeEnd === undefined || message.timestamp <= r.timeEnd),
  );
  list = fault.list?.(list) ?? list;
  const limit = Number(r.paginationLimit ?? 20n);
  const at = r.paginationCursor ? list.findIndex(isHash(r.paginationCursor)) : -1;
  const keep = fault.inclusive ? 1 : 0;
  if (r.paginationForward) {
    list = list.slice(at < 0 ? 0 : at + 1 - keep).slice(0, limit);
  } else {
    list = (at < 0 ? list : list.slice(0, at + keep)).slice(-limit);
  }
  list = fault.page?.(list, r.paginationForward) ?? list;
  return {
    requestId: request.requestId,
    statusCode: fault.status ?? 200,
    statusDesc: "as told",
    messages: list.map(({ message, hash }) => ({
      messageHash: hash,
      message: r.includeData ? (fault.message?.(message) ?? message) : undefined,
      pubsubTopic: r.includeData ? PUBSUB : undefined,
    })),
  };
}

async function serve(node, protocol, respond) {
  await node.handle(protocol, async ({ stream }) => {
    if (fault.silent) return;
    try {
      await pipe(
        stream,
        lp.decode,
        async function* (source) {
          for await (const chunk of source) yield respond(chunk.subarray());
        },
        lp.encode,
        stream,
      );
    } catch (error) {
      stream.abort(error);
    }
  });
}

let fault = {};
const node = await createLibp2p({
  addresses: { listen: ["/ip4/127.0.0.1/tcp/0/ws"] },
  transports: [webSockets({ filter: anyAddress })],
  streamMuxers: [mplex()],
  connectionEncrypters: [noise()],
  services: { identify: identify() },
});
await serve(node, "/vac/waku/store-query/3.0.0", (bytes) =>
  proto_store.StoreQueryResponse.encode(answer(proto_store.StoreQueryRequest.decode(bytes), fault)),
);
await serve(node, "/vac/waku/metadata/1.0.0", () =>
  proto_metadata.WakuMetadataResponse.encode({ clusterId: CLUSTER, shards: [SHARD] }),
);
await node.start();

const directory = mkdtempSync(join(tmpdir(), "wakustore-js-"));
const expected = join(directory, "expected.json");
const entry = ({ message, hash }) => ({
  hash: hex(hash),
  pubsub_topic: PUBSUB,
  content_topic: message.contentTopic,
  timestamp: String(message.timestamp),
  payload: hex(message.payload),
  meta: message.meta ? hex(message.meta) : null,
});
const elsewhere = { ...entry(held[0]), hash: "ee".repeat(32), pubsub_topic: `/waku/2/rs/${CLUSTER}/${SHARD + 1}` };
writeFileSync(expected, JSON.stringify([...held.map(entry), elsewhere]));

const reader = join(dirname(fileURLToPath(import.meta.url)), "read_history.mjs");
const read = (address) =>
  new Promise((resolve) => {
    const env = { ...process.env, TIMEOUT_MS: fault.silent ? "3000" : "60000" };
    const args = [reader, address, String(CLUSTER), String(SHARD), expected];
    execFile(process.execPath, args, { env }, (error, stdout, stderr) =>
      resolve({ status: error ? error.code : 0, stdout, stderr }),
    );
  });

const address = node.getMultiaddrs()[0].toString();
const asked = process.argv.slice(2);
const cases = Object.keys(FAULTS).filter((name) => asked.length === 0 || asked.includes(name));
let failures = 0;
function judge(name, { status, stdout, stderr }, good) {
  const last = (status === 0 ? stdout : stderr).trim().split("\n").pop();
  console.log(`${good ? "ok" : "NOT OK"}: ${name}: exit ${status}: ${last}`);
  if (!good) {
    failures += 1;
    console.log(stdout + stderr);
  }
}
for (const name of cases) {
  fault = FAULTS[name];
  const result = await read(address);
  const found = result.status === 1 && /^(DIFFERENCE|FAILED): \w/m.test(result.stderr);
  judge(name, result, name === "nothing is wrong" ? result.status === 0 : found);
}
await node.stop();
if (asked.length === 0) {
  const result = await read(address);
  judge("nobody listens", result, result.status === 1 && result.stderr.includes("cannot dial"));
}
rmSync(directory, { recursive: true });
process.exit(failures === 0 && cases.length > 0 ? 0 : 1);
