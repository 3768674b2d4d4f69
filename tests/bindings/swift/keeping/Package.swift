// swift-tools-version:5.9
//
// Not in the directory above: SwiftPM calls a local package by its directory's name, and the
// binding's is "swift" already.

import PackageDescription

let package = Package(
    name: "keeping",
    platforms: [.macOS(.v12)],
    dependencies: [.package(path: "../../../../bindings/swift")],
    targets: [
        .executableTarget(
            name: "keeping",
            dependencies: [.product(name: "Wakustore", package: "swift")],
            path: "Sources"
        )
    ]
)
