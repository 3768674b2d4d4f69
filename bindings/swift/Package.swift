// swift-tools-version:5.9
//
// Swift on wakustore: what UniFFI generates (generated/) and what is written by hand beside it
// (Sources/Wakustore). The library itself is linked by name: pass its directory with
// `-Xlinker -L…`, and have it found when the program runs.

import PackageDescription

let package = Package(
    name: "wakustore",
    platforms: [.macOS(.v12), .iOS(.v15)],
    products: [.library(name: "Wakustore", targets: ["Wakustore"])],
    targets: [
        .systemLibrary(name: "wakustoreFFI", path: "Sources/wakustoreFFI"),
        .target(
            name: "Wakustore",
            dependencies: ["wakustoreFFI"],
            path: ".",
            exclude: [
                "Sources/wakustoreFFI",
                "generated/wakustoreFFI.h",
                "generated/wakustoreFFI.modulemap",
            ],
            sources: ["generated/Wakustore.swift", "Sources/Wakustore"]
        ),
    ]
)
