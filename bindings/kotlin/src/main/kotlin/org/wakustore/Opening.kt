// Opening and closing, with options by name: what `use` cannot do, because an archive and a node end
// by calls that suspend.

package org.wakustore

import kotlin.time.Duration
import kotlin.time.toJavaDuration
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.withContext

/**
 * Opens the archive in this file, or creates it (mode 0600); `":memory:"` keeps everything in
 * memory. What is null is as the library has it.
 *
 * [maxAge], [maxMessages] and [maxBytes] (on disk) bound what is kept: beyond each of them the
 * oldest messages are removed, in small steps, and none older is taken in. [validator] sees each
 * batch of messages before it is committed; see [validator] for one that is a function. A batch that
 * it has not judged within [validatorTimeout] is refused with [ErrorKind.BUSY].
 */
suspend fun openArchive(
    path: String,
    durability: Durability? = null,
    clockTolerance: Duration? = null,
    checkLiveAge: Boolean = true,
    readers: Int? = null,
    maxQueuedBytes: Long? = null,
    maxAge: Duration? = null,
    maxMessages: Long? = null,
    maxBytes: Long? = null,
    validator: Validator? = null,
    validatorTimeout: Duration? = null,
): Archive = Archive.open(
    path,
    ArchiveOptions(
        durability = durability,
        clockTolerance = clockTolerance?.toJavaDuration(),
        checkLiveAge = checkLiveAge,
        readers = readers?.toUInt(),
        maxQueuedBytes = maxQueuedBytes?.toULong(),
        maxAge = maxAge?.toJavaDuration(),
        maxMessages = maxMessages?.toULong(),
        maxBytes = maxBytes?.toULong(),
        validatorTimeout = validatorTimeout?.toJavaDuration(),
    ),
    validator,
)

/** Runs [block] with the archive, then commits what was accepted and closes the file. */
suspend fun <T> Archive.closing(block: suspend (Archive) -> T): T =
    use { ending({ shutdown() }) { block(this) } }

/** Runs [block] with the node, then ends all sessions and connections. The archive stays open. */
suspend fun <T> Node.stopping(block: suspend (Node) -> T): T =
    use { ending({ stop() }) { block(this) } }

// Also where the coroutine was cancelled meanwhile.
private suspend fun <T> ending(end: suspend () -> Unit, block: suspend () -> T): T {
    val result = try {
        block()
    } catch (e: Throwable) {
        withContext(NonCancellable) {
            runCatching { end() }.exceptionOrNull()?.let { e.addSuppressed(it) }
        }
        throw e
    }
    withContext(NonCancellable) { end() }
    return result
}

/**
 * A validator that is a function: one answer for each message of the batch, in order. It is called
 * on a thread that the library has for it, one batch at a time, and must not wait for the library.
 * What it throws counts as not knowing.
 */
fun validator(judge: (messages: List<StoredMessage>, origin: Origin) -> List<Validity>): Validator =
    object : Validator {
        override fun validate(messages: List<StoredMessage>, origin: Origin) = judge(messages, origin)
    }

/**
 * Syncs with a peer now and waits for the end, with options by name: the messages from [start] up
 * to, and without, [end] (Unix nanoseconds). Cancelling it cancels the session.
 */
suspend fun Node.sync(
    peer: String,
    start: Long? = null,
    end: Long? = null,
    direction: SyncDirection? = null,
    dryRun: Boolean = false,
    protocol: SyncProtocol? = null,
): SyncReport = sync(peer, SyncOptions(start, end, direction, dryRun, protocol))

/** What went wrong, as a stable number. */
val WakuException.kind: ErrorKind
    get() = when (this) { is WakuException.Failed -> kind }

/** What is wrong and with what, for people. */
val WakuException.reason: String
    get() = when (this) { is WakuException.Failed -> reason }
