// What an archive keeps and takes in, from Kotlin: retention, takedowns, a validator; its changes;
// and the layer that is written by hand: opening, closing, flows.

import kotlin.time.Duration.Companion.hours
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.flow.transformWhile
import kotlinx.coroutines.runBlocking
import org.wakustore.Archive
import org.wakustore.Change
import org.wakustore.Durability
import org.wakustore.ErrorKind
import org.wakustore.Message
import org.wakustore.Node
import org.wakustore.NodeEvent
import org.wakustore.NodeOptions
import org.wakustore.Origin
import org.wakustore.PutOutcome
import org.wakustore.PutResult
import org.wakustore.Query
import org.wakustore.SyncDirection
import org.wakustore.TopicMessage
import org.wakustore.Validity
import org.wakustore.WakuException
import org.wakustore.changeFlow
import org.wakustore.changeFlowFrom
import org.wakustore.closing
import org.wakustore.entries
import org.wakustore.eventFlow
import org.wakustore.flow
import org.wakustore.kind
import org.wakustore.openArchive
import org.wakustore.reason
import org.wakustore.shutdown
import org.wakustore.stopping
import org.wakustore.sync
import org.wakustore.validator

const val TEST_TOPIC = "/waku/2/rs/16/3"

fun batch(vararg payloads: String): List<TopicMessage> {
    val last = now()
    return payloads.mapIndexed { i, payload ->
        val time = last - (payloads.size - 1 - i)
        TopicMessage(TEST_TOPIC, Message(payload.toByteArray(), "/kotlin-test/1/chat/proto", time))
    }
}

fun kinds(results: List<PutResult>) = results.map { it.refusal?.kind }

suspend fun fails(kind: ErrorKind, block: suspend () -> Unit) {
    val caught = try {
        block()
        null
    } catch (e: WakuException) {
        e
    }
    check(caught?.kind == kind && caught.reason.isNotEmpty()) { "$caught is not $kind" }
}

suspend fun retention() = openArchive(":memory:", maxMessages = 2, maxAge = 1.hours).closing { archive ->
    archive.changes().use { changes ->
        val messages = batch("1", "2", "3", "4", "5")
        val results = archive.putMany(messages)
        val stored = changes.flow().first() as Change.Stored
        check(stored.messages.map { it.hash.asList() } == results.map { it.hash.asList() }) { "$stored" }
        check(stored.messages.all { it.origin == Origin.LIVE && it.pubsubTopic == TEST_TOPIC }) { "$stored" }
        val removed = mutableListOf<List<Byte>>()
        changes.flow().transformWhile { change ->
            removed += (change as Change.Removed).messages.map { it.hash.asList() }
            if (removed.size == 3) emit(Unit)
            removed.size < 3
        }.toList()
        check(removed == results.take(3).map { it.hash.asList() }) { "$removed" }
        check(archive.floor() == messages[2].message.timestamp!! + 1) { "${archive.floor()}" }
        check(kinds(archive.putMany(messages.take(1), Origin.SYNC)) == listOf(ErrorKind.TIMESTAMP_TOO_OLD))
        archive.shutdown()
        check(changes.next() == null) { "the feed has ended" }
    }
    fails(ErrorKind.INVALID_ARGUMENT) { openArchive(":memory:", maxBytes = 0) }
}

suspend fun takedowns() = openArchive(
    ":memory:", Durability.NORMAL, 1.seconds, checkLiveAge = false, readers = 1, maxQueuedBytes = 1 shl 20,
).closing { archive ->
    check(archive.floor() == null) { "nothing bounds it" }
    val messages = batch("a", "b", "c")
    val hashes = archive.putMany(messages).map { it.hash }
    coroutineScope {
        // A subscription begins with its collection.
        val removed = async(start = CoroutineStart.UNDISPATCHED) {
            archive.changeFlow().filterIsInstance<Change.Removed>().first()
        }
        check(archive.takeDown(listOf(hashes[1])) == 1uL) { "it was held" }
        check(removed.await().messages.single().hash.contentEquals(hashes[1]))
    }
    check(archive.missing(listOf(hashes[1])).isEmpty()) { "nobody misses it" }
    fails(ErrorKind.TAKEN_DOWN) { archive.put(TEST_TOPIC, messages[1].message) }
    val left = archive.entries(Query(limit = 1u)).toList().map { it.hash.asList() }
    check(left == listOf(hashes[0], hashes[2]).map { it.asList() }) { "$left" }
    archive.changes(1u).use { changes ->
        repeat(3) { archive.putMany(batch("more $it")) }
        check((changes.next() as Change.Stored).messages.size == 1)
        check(changes.next() == Change.Lagged(2uL)) { "there was room for one" }
        val from = changes.position()
        var missed = 0
        val reached = mutableListOf<ByteArray>()
        archive.changeFlowFrom(from) { reached += it }.transformWhile { change ->
            missed += (change as Change.Stored).messages.size
            emit(Unit)
            missed < 2
        }.toList()
        // The last change was not gone on from: it would come again.
        check(missed == 2 && reached.size <= 1) { "$missed, $reached" }
        check(archive.changesFrom(archive.position()).use { it.position() } != null) { "known" }
    }
}

suspend fun aValidator() {
    val threads = mutableSetOf<Long>()
    val judge = validator { messages, origin ->
        synchronized(threads) { threads += Thread.currentThread().id }
        messages.map {
            val payload = String(it.message.payload)
            when {
                payload == "throw" -> throw IllegalStateException("as ordered")
                payload == "slow" -> { Thread.sleep(200); Validity.Valid }
                payload.startsWith("bad") -> Validity.Invalid("no $payload")
                origin == Origin.IMPORT -> Validity.Unknown("not now")
                else -> Validity.Valid
            }
        }
    }
    openArchive(":memory:", validator = judge, validatorTimeout = 10.seconds).closing { archive ->
        var results = archive.putMany(batch("good", "bad one"))
        check(kinds(results) == listOf(null, ErrorKind.VALIDATOR_REFUSED)) { "$results" }
        check(results[1].refusal!!.reason == "no bad one") { "$results" }
        results = archive.putMany(batch("imported"), Origin.IMPORT)
        check(kinds(results) == listOf(ErrorKind.BUSY)) { "$results" }
        results = archive.putMany(batch("fine", "throw"))
        check(kinds(results) == listOf(ErrorKind.BUSY, ErrorKind.BUSY)) { "$results" }
        check("as ordered" in results[0].refusal!!.reason) { "$results" }
        coroutineScope {
            val puts = (0 until 50).map { async { archive.putMany(batch("m$it", "bad")) } }
            puts.awaitAll().forEach { check(it[0].outcome == PutOutcome.STORED) { "$it" } }
        }
        check(Thread.currentThread().id !in threads) { "$threads" }
        check(archive.stats().messages == 51uL) { "${archive.stats()}" }
    }
    openArchive(":memory:", validator = judge, validatorTimeout = 20.milliseconds).closing { archive ->
        check(kinds(archive.putMany(batch("slow"))) == listOf(ErrorKind.BUSY)) { "it took too long" }
    }
}

suspend fun nodes() = openArchive(":memory:").closing { theirs ->
    theirs.putMany(batch("x", "y", "z"))
    openArchive(":memory:").closing { own ->
        val options = NodeOptions(listen = listOf("/ip4/127.0.0.1/tcp/0"), syncOnConnect = false)
        Node.start(theirs, options).stopping { server ->
            Node.start(own, NodeOptions(syncOnConnect = false)).stopping { node ->
                coroutineScope {
                    val connected = async(start = CoroutineStart.UNDISPATCHED) {
                        node.eventFlow().filterIsInstance<NodeEvent.PeerConnected>().first()
                    }
                    val peer = node.dial(server.addresses().single())
                    check(connected.await().peerId == peer)
                    check(node.entries(peer, Query(limit = 2u)).toList().size == 3)
                    val end = now()
                    val dry = node.sync(peer, end - HOUR, end, dryRun = true)
                    check(dry.difference!!.missing.size == 3) { "$dry" }
                    val report = node.sync(peer, start = end - HOUR, end = end, direction = SyncDirection.PULL)
                    check(report.received == 3uL) { "$report" }
                }
            }
        }
        check(own.stats().messages == 3uL)
    }
}

// The block's own failure is what comes out, and the archive is closed all the same.
suspend fun failures(): Archive {
    var archive: Archive? = null
    val caught = runCatching {
        openArchive(":memory:").closing {
            archive = it
            error("of the block")
        }
    }.exceptionOrNull()
    check(caught is IllegalStateException && caught.message == "of the block") { "$caught" }
    return archive!!
}

fun main() {
    runBlocking {
        retention()
        takedowns()
        aValidator()
        nodes()
        val closed = runCatching { failures().stats() }.exceptionOrNull()
        check(closed != null) { "it is closed" }
    }
    shutdown()
    println("what an archive keeps and takes in: as expected")
}
