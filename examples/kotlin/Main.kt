// The whole path from Kotlin: an archive, a node, a peer's history, a sync.
//
//   MainKt DIR ADDRESS COUNT
//
// Puts some messages into DIR/own.db, reads the history of the peer at ADDRESS, which holds COUNT
// messages of the last hour, and syncs with it. Prints a line a step; anything unexpected ends it.

import kotlin.system.exitProcess
import kotlin.time.measureTimedValue
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.async
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import org.wakustore.Archive
import org.wakustore.ErrorKind
import org.wakustore.Message
import org.wakustore.Node
import org.wakustore.NodeEvent
import org.wakustore.NodeOptions
import org.wakustore.PutOutcome
import org.wakustore.Query
import org.wakustore.SyncOptions
import org.wakustore.TopicMessage
import org.wakustore.WakuException
import org.wakustore.flow
import org.wakustore.pages
import org.wakustore.shardTopic
import org.wakustore.shutdown
import org.wakustore.version

const val CLUSTER = 16u
const val SHARD = 3u
const val CONTENT_TOPIC = "/kotlin-example/1/chat/proto"
const val OWN = 40
const val HOUR = 3_600_000_000_000L

fun now(): Long = java.time.Instant.now().run { epochSecond * 1_000_000_000 + nano }

fun ownMessages(): List<TopicMessage> {
    val last = now()
    return (0 until OWN).map { i ->
        val payload = ByteArray(i * i * 7) { k -> (i + k).toByte() }
        val meta = if (i % 2 == 0) byteArrayOf(i.toByte()) else null
        TopicMessage(
            pubsubTopic = shardTopic(CLUSTER, SHARD),
            message = Message(payload, CONTENT_TOPIC, last - (OWN - i) * 1_000L, meta),
        )
    }
}

suspend fun putAndQuery(archive: Archive) {
    val messages = ownMessages()
    val results = archive.putMany(messages)
    check(results.all { it.outcome == PutOutcome.STORED }) { "not all was stored: $results" }

    val pages = archive.pages(Query(contentTopics = listOf(CONTENT_TOPIC), limit = 15u)).toList()
    val entries = pages.flatMap { it.entries }
    check(entries.size == OWN) { "${entries.size} of $OWN came back" }
    for ((i, entry) in entries.withIndex()) {
        check(entry.hash.contentEquals(results[i].hash)) { "message $i is not the one put there" }
        check(entry.message!!.payload.contentEquals(messages[i].message.payload)) { "payload $i differs" }
    }
    println("put $OWN messages and read them back in ${pages.size} pages, byte for byte")
}

suspend fun catchAnError(archive: Archive) {
    val unknown = ByteArray(32) { 0x5a }
    try {
        archive.query(Query(cursor = unknown))
        error("an unknown cursor was taken")
    } catch (e: WakuException.Failed) {
        check(e.kind == ErrorKind.CURSOR_NOT_FOUND) { "$e" }
        println("an unknown cursor: ${e.kind} (${e.kind.value}): ${e.reason}")
    }
}

// A coroutine that waits for an event is cancelled, which takes no event away from the next who
// waits.
suspend fun connect(node: Node, address: String): String = coroutineScope {
    node.events().use { events ->
        val waiting = async(start = CoroutineStart.UNDISPATCHED) { events.next() }
        waiting.cancel()
        try {
            error("the wait was not cancelled: ${waiting.await()}")
        } catch (_: CancellationException) {
            println("cancelled a wait for an event")
        }
        val peer = node.dial(address)
        val event = events.flow().first()
        check(event == NodeEvent.PeerConnected(peer)) { "$event" }
        println("connected to $peer")
        peer
    }
}

suspend fun readHistory(node: Node, peer: String, count: Int) {
    val hashes = HashSet<List<Byte>>()
    var (pages, bytes) = 0 to 0L
    node.pages(peer, Query(limit = 50u)).collect { page ->
        pages += 1
        page.entries.forEach {
            hashes.add(it.hash.asList())
            bytes += it.message!!.payload.size
        }
    }
    check(hashes.size == count) { "${hashes.size} messages in the peer's history, expected $count" }
    println("read the peer's history: ${hashes.size} messages, $bytes bytes, $pages pages")
}

suspend fun sync(node: Node, peer: String, count: Int) {
    val end = now()
    val (report, time) = measureTimedValue { node.sync(peer, SyncOptions(start = end - HOUR, end = end)) }
    check(report.received == count.toULong() && report.sent == OWN.toULong()) { "$report" }
    check(report.failure == null && report.outstanding == 0uL) { "$report" }
    println("synced: received ${report.received}, sent ${report.sent}, ${report.frames} frames, $time")
}

fun main(args: Array<String>) {
    if (args.size != 3) {
        System.err.println("usage: MainKt DIR ADDRESS COUNT")
        exitProcess(2)
    }
    val (dir, address) = args
    val count = args[2].toInt()
    println("wakustore ${version()} on Kotlin ${KotlinVersion.CURRENT}, Java ${System.getProperty("java.version")}")
    runBlocking {
        Archive.open("$dir/own.db").use { archive ->
            putAndQuery(archive)
            catchAnError(archive)
            val options = NodeOptions(
                listen = listOf("/ip4/127.0.0.1/tcp/0"),
                clusterId = CLUSTER,
                shards = listOf(SHARD),
                // It syncs when it is told to, and not by itself.
                syncOnConnect = false,
            )
            Node.start(archive, options).use { node ->
                println("a node at ${node.addresses().single()}")
                val peer = connect(node, address)
                readHistory(node, peer, count)
                sync(node, peer, count)
                node.stop()
            }
            val held = archive.stats().messages
            check(held == (OWN + count).toULong()) { "$held messages are held, expected ${OWN + count}" }
            archive.shutdown()
        }
    }
    shutdown()
    println("stopped")
}
