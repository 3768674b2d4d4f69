// A go-waku node beside a wakustore node: it relays, asks by Store v3, and counts disconnections.
//
//	peer ADDRESS CLUSTER SHARD SECONDS
//
// ADDRESS is the store node's, /ip4/127.0.0.1/tcp/1234/p2p/12D3…, with relay on for that shard of the
// cluster. The program connects to it and tells on standard output, one JSON object a line, what it
// has done; what it waits for comes on standard input:
//
//	-> {"at": "/ip4/127.0.0.1/tcp/…/p2p/…"}  it is connected, meshed, and identify, ping and metadata
//	                                         of the store node are as they should be
//	<- {"heard": ["hash", …]}                what wakustore publishes by relay: it waits for all of it
//	-> {"heard": N}
//	-> {"published": ["hash", …]}            what it published by relay itself, all of it in the store
//	-> {"ok": "…"}                           for each check of its queries
//	-> {"stayed": {…}}                       SECONDS after it connected, not having been disconnected
//	<- end of input                          the store node is about to leave, which must be noticed
//	-> {"left": 1}
//
// It ends with 0 where all of that held, else with 1 and the reason on standard error.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-msgio/pbio"
	"github.com/multiformats/go-multiaddr"
	"github.com/waku-org/go-waku/waku/v2/node"
	"github.com/waku-org/go-waku/waku/v2/protocol"
	"github.com/waku-org/go-waku/waku/v2/protocol/metadata"
	metadatapb "github.com/waku-org/go-waku/waku/v2/protocol/metadata/pb"
	"github.com/waku-org/go-waku/waku/v2/protocol/pb"
	"github.com/waku-org/go-waku/waku/v2/protocol/relay"
	"github.com/waku-org/go-waku/waku/v2/protocol/store"
	"github.com/waku-org/go-waku/waku/v2/utils"
	"go.uber.org/zap/zapcore"
	"google.golang.org/protobuf/proto"
)

// Nothing waits longer than this for anything.
const patience = time.Minute

// Interop is a go-waku node, the store node's address, and what the two have seen.
type Interop struct {
	node    *node.WakuNode
	store   peer.ID
	at      multiaddr.Multiaddr
	cluster uint32
	shard   uint32
	topic   string
	inputs  *bufio.Reader
	heard   chan *protocol.Envelope
	// Messages that the store node holds, or is to hold, by hash.
	known map[pb.MessageHash]*pb.WakuMessage
	since time.Time
	// How often a connection to the store node ended.
	left  atomic.Int64
	pings int
}

func tell(what string, value any) error {
	return json.NewEncoder(os.Stdout).Encode(map[string]any{what: value})
}

// Waits until it holds.
func until(ctx context.Context, what string, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		switch held, err := holds(); {
		case err != nil:
			return fmt.Errorf("%s: %w", what, err)
		case held:
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not after %s", what, patience)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func start(ctx context.Context, args []string) (*Interop, error) {
	at, err := multiaddr.NewMultiaddr(args[0])
	if err != nil {
		return nil, err
	}
	info, err := peer.AddrInfoFromP2pAddr(at)
	if err != nil {
		return nil, err
	}
	cluster, err := strconv.ParseUint(args[1], 10, 16)
	if err != nil {
		return nil, err
	}
	shard, err := strconv.ParseUint(args[2], 10, 16)
	if err != nil {
		return nil, err
	}
	utils.InitLogger("console", "file:/dev/stderr", "interop", logLevel())
	all, err := node.New(
		node.WithClusterID(uint16(cluster)),
		node.WithShards([]uint16{uint16(shard)}),
		node.WithHostAddress(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}),
		node.WithWakuRelayAndMinPeers(1),
		node.WithLogLevel(logLevel()),
		node.WithKeepAlive(5*time.Second, 10*time.Second),
		// As fast as it can: by default it asks eight times a second.
		node.WithWakuStoreRateLimit(10000),
	)
	if err != nil {
		return nil, err
	}
	if err := all.Start(ctx); err != nil {
		return nil, err
	}
	interop := &Interop{
		node:    all,
		store:   info.ID,
		at:      at,
		cluster: uint32(cluster),
		shard:   uint32(shard),
		topic:   protocol.NewStaticShardingPubsubTopic(uint16(cluster), uint16(shard)).String(),
		inputs:  bufio.NewReader(os.Stdin),
		heard:   make(chan *protocol.Envelope, 1024),
		known:   map[pb.MessageHash]*pb.WakuMessage{},
	}
	all.Host().Network().Notify(&network.NotifyBundle{
		DisconnectedF: func(_ network.Network, conn network.Conn) {
			if conn.RemotePeer() == interop.store {
				interop.left.Add(1)
			}
		},
	})
	return interop, nil
}

// What go-waku logs goes to standard error, where GO_WAKU_LOG names a level.
func logLevel() zapcore.Level {
	level, err := zapcore.ParseLevel(os.Getenv("GO_WAKU_LOG"))
	if os.Getenv("GO_WAKU_LOG") == "" || err != nil {
		return zapcore.FatalLevel
	}
	return level
}

// Connects, and finds that what go-waku wants of a peer is there.
func (in *Interop) connect(ctx context.Context) error {
	subscribed, err := in.node.Relay().Subscribe(ctx, protocol.NewContentFilter(in.topic))
	if err != nil {
		return err
	}
	go func() {
		for envelope := range subscribed[0].Ch {
			in.heard <- envelope
		}
	}()
	if err := in.node.DialPeer(ctx, in.at.String()); err != nil {
		return err
	}
	in.since = time.Now()
	host := in.node.Host()
	err = until(ctx, "identify", func() (bool, error) {
		wanted := []protocolID{store.StoreQueryID_v300, relay.WakuRelayID_v200, metadata.MetadataID_v1, ping.ID}
		spoken, err := host.Peerstore().SupportsProtocols(in.store, wanted...)
		return len(spoken) == len(wanted), err
	})
	if err != nil {
		return err
	}
	if err := in.metadata(ctx); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	if err := in.ping(ctx); err != nil {
		return err
	}
	return until(ctx, "the mesh", func() (bool, error) {
		for _, each := range in.node.Relay().PubSub().MeshPeers(in.topic) {
			if each == in.store {
				return true, nil
			}
		}
		return false, nil
	})
}

// Asks as go-waku does when it has connected, which drops the peer where the answer is not right.
func (in *Interop) metadata(ctx context.Context) error {
	stream, err := in.node.Host().NewStream(ctx, in.store, metadata.MetadataID_v1)
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := stream.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	question := &metadatapb.WakuMetadataRequest{ClusterId: &in.cluster, Shards: []uint32{in.shard}}
	if err := pbio.NewDelimitedWriter(stream).WriteMsg(question); err != nil {
		return err
	}
	answer := &metadatapb.WakuMetadataResponse{}
	if err := pbio.NewDelimitedReader(stream, 1024).ReadMsg(answer); err != nil {
		return err
	}
	there := false
	for _, shard := range answer.Shards {
		there = there || shard == in.shard
	}
	if answer.ClusterId == nil || *answer.ClusterId != in.cluster || !there {
		return fmt.Errorf("the answer is %v", answer)
	}
	return nil
}

func (in *Interop) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if answer := <-ping.Ping(ctx, in.node.Host(), in.store); answer.Error != nil {
		return fmt.Errorf("ping: %w", answer.Error)
	}
	in.pings++
	return nil
}

// Waits for all that wakustore says it published.
func (in *Interop) hear(ctx context.Context) error {
	line, err := in.inputs.ReadBytes('\n')
	if err != nil {
		return err
	}
	var told struct{ Heard []string }
	if err := json.Unmarshal(line, &told); err != nil {
		return err
	}
	missing := map[pb.MessageHash]bool{}
	for _, text := range told.Heard {
		bytes, err := hex.DecodeString(text)
		if err != nil {
			return err
		}
		missing[pb.ToMessageHash(bytes)] = true
	}
	late := time.After(patience)
	for len(missing) > 0 {
		select {
		case envelope := <-in.heard:
			// The hash is go-waku's own, of what it decoded.
			if !missing[envelope.Hash()] {
				return fmt.Errorf("heard %s, which nobody published or which came twice", envelope.Hash())
			}
			delete(missing, envelope.Hash())
			in.known[envelope.Hash()] = envelope.Message()
		case <-late:
			return fmt.Errorf("%d of %d messages were not heard", len(missing), len(told.Heard))
		}
	}
	return tell("heard", len(told.Heard))
}

// Publishes messages of many kinds, and waits until the store node holds them.
func (in *Interop) publish(ctx context.Context) error {
	var published []string
	now := time.Now().UnixNano()
	for i := 0; i < 60; i++ {
		// Go-waku takes no message without a payload.
		size := 1 + (i*37)%900
		switch i {
		case 0:
			size = 1
		case 1:
			// With what is around it, it just fits into what a message may be.
			size = 150*1024 - 200
		}
		message := &pb.WakuMessage{
			Payload:      fill(size, i),
			ContentTopic: fmt.Sprintf("/go-waku/1/topic-%d/proto", i%3),
			// Some share a timestamp: the hash decides which comes first.
			Timestamp: proto.Int64(now + int64(i/2)*1_000_003),
		}
		if i%4 == 1 {
			message.Meta = fill(1+i, i)
		}
		if i%5 == 2 {
			message.Version = proto.Uint32(uint32(i))
		}
		hash, err := in.node.Relay().Publish(ctx, message, relay.WithPubSubTopic(in.topic))
		if err != nil {
			return err
		}
		in.known[hash] = message
		published = append(published, hex.EncodeToString(hash.Bytes()))
	}
	// Passed on, and not kept.
	_, err := in.node.Relay().Publish(ctx, &pb.WakuMessage{
		Payload:      []byte("gone"),
		ContentTopic: "/go-waku/1/ephemeral/proto",
		Timestamp:    proto.Int64(now),
		Ephemeral:    proto.Bool(true),
	}, relay.WithPubSubTopic(in.topic))
	if err != nil {
		return err
	}
	err = until(ctx, "all is in the store", func() (bool, error) {
		held, err := in.walk(ctx, store.FilterCriteria{ContentFilter: protocol.NewContentFilter(in.topic)}, true, 100, store.IncludeData(false))
		return len(held) >= len(in.known), err
	})
	if err != nil {
		return err
	}
	return tell("published", published)
}

func fill(size, seed int) []byte {
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte(seed*31 + i*7)
	}
	return payload
}

// Stays until `ends`, at work all the time.
func (in *Interop) stay(ctx context.Context, ends time.Time) error {
	queries := 0
	for time.Now().Before(ends) {
		if err := in.ping(ctx); err != nil {
			return err
		}
		held, err := in.walk(ctx, store.FilterCriteria{ContentFilter: protocol.NewContentFilter(in.topic)}, true, 100)
		if err != nil {
			return err
		}
		if len(held) != len(in.known) {
			return fmt.Errorf("%d messages in the store, %d are known", len(held), len(in.known))
		}
		queries++
		time.Sleep(time.Second)
	}
	if n := in.left.Load(); n != 0 {
		return fmt.Errorf("disconnected %d times", n)
	}
	if n := len(in.node.Host().Network().ConnsToPeer(in.store)); n == 0 {
		return fmt.Errorf("there is no connection any more")
	}
	return tell("stayed", map[string]any{
		"seconds": int(time.Since(in.since).Seconds()),
		"pings":   in.pings,
		"walks":   queries,
	})
}

// The count of disconnections must be able to count.
func (in *Interop) leave(ctx context.Context) error {
	if _, err := in.inputs.ReadByte(); err != io.EOF {
		return fmt.Errorf("the end of input was due, not %v", err)
	}
	err := until(ctx, "the store node has left", func() (bool, error) { return in.left.Load() > 0, nil })
	if err != nil {
		return err
	}
	return tell("left", in.left.Load())
}

// Where it can be dialled over TCP.
func (in *Interop) tellAddress() error {
	for _, address := range in.node.Host().Network().ListenAddresses() {
		if _, err := address.ValueForProtocol(multiaddr.P_TCP); err == nil {
			return tell("at", fmt.Sprintf("%s/p2p/%s", address, in.node.Host().ID()))
		}
	}
	return fmt.Errorf("it does not listen over TCP")
}

func run(args []string) error {
	ctx := context.Background()
	seconds, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	in, err := start(ctx, args)
	if err != nil {
		return err
	}
	if err := in.connect(ctx); err != nil {
		return err
	}
	if err := in.tellAddress(); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{in.hear, in.publish, in.query} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if err := in.stay(ctx, in.since.Add(time.Duration(seconds)*time.Second)); err != nil {
		return err
	}
	return in.leave(ctx)
}

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: peer ADDRESS CLUSTER SHARD SECONDS")
		os.Exit(2)
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "FAILED:", err)
		os.Exit(1)
	}
}
