// Calls into the C library with JNA, from a suspend function.

import com.sun.jna.Library
import com.sun.jna.Native
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withContext
import kotlin.system.exitProcess

interface LibC : Library {
    fun getpid(): Int
}

suspend fun pid(libc: LibC): Int = withContext(Dispatchers.IO) { libc.getpid() }

fun main(args: Array<String>) = runBlocking {
    val libc = Native.load("c", LibC::class.java)
    val asked = async { pid(libc) }
    val known = ProcessHandle.current().pid().toInt()
    if (asked.await() != known) {
        System.err.println("getpid() through JNA is ${asked.await()}, not $known")
        exitProcess(1)
    }
    println("Kotlin ${KotlinVersion.CURRENT}, JNA ${Native.VERSION}, Java ${System.getProperty("java.version")}" +
        args.joinToString("") { " [$it]" })
}
