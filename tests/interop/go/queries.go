// What go-waku's Store v3 client asks, and what must come back.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/libp2p/go-libp2p/core/peer"
	libp2p "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/waku-org/go-waku/waku/v2/protocol"
	"github.com/waku-org/go-waku/waku/v2/protocol/pb"
	"github.com/waku-org/go-waku/waku/v2/protocol/store"
	storepb "github.com/waku-org/go-waku/waku/v2/protocol/store/pb"
	"google.golang.org/protobuf/proto"
)

type protocolID = libp2p.ID

// A message with its hash, as the store gives them.
type entry struct {
	hash    pb.MessageHash
	message *pb.WakuMessage
}

// Those of the known messages that are wanted, in the order of the archive.
func (in *Interop) wanted(want func(*pb.WakuMessage) bool) []entry {
	var list []entry
	for hash, message := range in.known {
		if want(message) {
			list = append(list, entry{hash, message})
		}
	}
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if at, bt := a.message.GetTimestamp(), b.message.GetTimestamp(); at != bt {
			return at < bt
		}
		return bytes.Compare(a.hash[:], b.hash[:]) < 0
	})
	return list
}

func hashes(list []entry) []pb.MessageHash {
	var result []pb.MessageHash
	for _, each := range list {
		result = append(result, each.hash)
	}
	return result
}

// All pages of a query: forward they follow each other, backward the newest comes first, and each
// page is in forward order.
func (in *Interop) walk(ctx context.Context, criteria store.Criteria, forward bool, size uint64, options ...store.RequestOption) ([]*storepb.WakuMessageKeyValue, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	options = append([]store.RequestOption{store.WithPeer(in.store), store.WithPaging(forward, size)}, options...)
	result, err := in.node.Store().Request(ctx, criteria, options...)
	var all []*storepb.WakuMessageKeyValue
	for ; err == nil && !result.IsComplete(); err = result.Next(ctx, store.WithPeer(in.store)) {
		page := result.Messages()
		if uint64(len(page)) > size {
			return nil, fmt.Errorf("a page of %d, asked for %d", len(page), size)
		}
		if len(page) == 0 && len(all) > 0 {
			return nil, errors.New("the last page is empty: its cursor should not have been there")
		}
		if forward {
			all = append(all, page...)
		} else {
			all = append(slices.Clone(page), all...)
		}
		if len(all) > 10*len(in.known)+100 {
			return nil, errors.New("the walk does not end")
		}
	}
	return all, err
}

func (in *Interop) compare(got []*storepb.WakuMessageKeyValue, want []entry, data bool) error {
	if len(want) == 0 {
		return errors.New("nothing would be compared")
	}
	for i := 0; i < min(len(got), len(want)); i++ {
		if !bytes.Equal(got[i].MessageHash, want[i].hash[:]) {
			return fmt.Errorf("entry %d is %x, expected %x", i, got[i].MessageHash, want[i].hash)
		}
		switch message := got[i].Message; {
		case !data && (message != nil || got[i].PubsubTopic != nil):
			return fmt.Errorf("entry %d came with its data", i)
		case !data:
		case message == nil || got[i].GetPubsubTopic() != in.topic:
			return fmt.Errorf("entry %d has no data, or %q", i, got[i].GetPubsubTopic())
		case message.Hash(in.topic) != want[i].hash:
			return fmt.Errorf("entry %d is not what its hash says", i)
		case message.GetVersion() != want[i].message.GetVersion():
			return fmt.Errorf("entry %d: version %d, expected %d", i, message.GetVersion(), want[i].message.GetVersion())
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d entries, expected %d", len(got), len(want))
	}
	return nil
}

// Everything that its client can ask.
func (in *Interop) query(ctx context.Context) error {
	filter := func(topics ...string) store.FilterCriteria {
		return store.FilterCriteria{ContentFilter: protocol.NewContentFilter(in.topic, topics...)}
	}
	topic := "/go-waku/1/topic-1/proto"
	of := func(topics ...string) func(*pb.WakuMessage) bool {
		return func(m *pb.WakuMessage) bool { return slices.Contains(topics, m.ContentTopic) }
	}
	every := in.wanted(func(*pb.WakuMessage) bool { return true })
	ofTopic := in.wanted(of(topic))
	middle := len(ofTopic) / 2
	start, end := every[len(every)/4].message.Timestamp, every[len(every)*3/4].message.Timestamp
	between := filter()
	between.TimeStart, between.TimeEnd = start, end
	some := hashes(every)[:40]
	// As many as a page holds at most, and one that nobody has.
	asked := append(slices.Clone(some), pb.ToMessageHash(bytes.Repeat([]byte{0xa5}, 32)))
	slices.Reverse(asked)

	type check struct {
		name     string
		criteria store.Criteria
		forward  bool
		size     uint64
		want     []entry
		data     bool
		cursor   []byte
	}
	for _, c := range []check{
		{"a shard, forward", filter(), true, 17, every, true, nil},
		{"a shard, backward", filter(), false, 17, every, true, nil},
		{"a content topic, forward", filter(topic), true, 7, ofTopic, true, nil},
		{"a content topic, backward", filter(topic), false, 7, ofTopic, true, nil},
		{"two content topics", filter(topic, "/go-waku/1/topic-2/proto"), true, 100, in.wanted(of(topic, "/go-waku/1/topic-2/proto")), true, nil},
		{"a span of time", between, true, 10, in.wanted(func(m *pb.WakuMessage) bool {
			return m.GetTimestamp() >= *start && m.GetTimestamp() <= *end
		}), true, nil},
		{"from a cursor, forward", filter(topic), true, 5, ofTopic[middle+1:], true, ofTopic[middle].hash[:]},
		{"from a cursor, backward", filter(topic), false, 5, ofTopic[:middle], true, ofTopic[middle].hash[:]},
		{"hashes, forward", store.MessageHashCriteria{MessageHashes: asked}, true, 9, every[:40], true, nil},
		{"hashes, backward", store.MessageHashCriteria{MessageHashes: asked}, false, 9, every[:40], true, nil},
		{"which of these hashes are there", store.MessageHashCriteria{MessageHashes: asked}, true, 100, every[:40], false, nil},
		{"hashes alone of a shard", filter(), true, 30, every, false, nil},
	} {
		options := []store.RequestOption{store.IncludeData(c.data)}
		if c.cursor != nil {
			options = append(options, store.WithCursor(c.cursor))
		}
		got, err := in.walk(ctx, c.criteria, c.forward, c.size, options...)
		if err == nil {
			err = in.compare(got, c.want, c.data)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if err := tell("ok", fmt.Sprintf("%s: %d messages in pages of up to %d", c.name, len(c.want), c.size)); err != nil {
			return err
		}
	}
	return in.single(ctx, every, filter())
}

// What is no walk.
func (in *Interop) single(ctx context.Context, every []entry, shard store.FilterCriteria) error {
	from := store.WithPeer(in.store)
	for hash, want := range map[pb.MessageHash]bool{every[3].hash: true, pb.ToMessageHash([]byte("nobody's")): false} {
		is, err := in.node.Store().Exists(ctx, hash, from)
		if err != nil || is != want {
			return fmt.Errorf("whether %s exists: %v, %w", hash, is, err)
		}
	}
	if err := tell("ok", "one that exists, one that does not"); err != nil {
		return err
	}
	elsewhere := protocol.NewStaticShardingPubsubTopic(uint16(in.cluster), uint16(in.shard+1)).String()
	none, err := in.walk(ctx, store.FilterCriteria{ContentFilter: protocol.NewContentFilter(elsewhere)}, true, 20)
	if err != nil || len(none) != 0 {
		return fmt.Errorf("another shard: %d messages, %w", len(none), err)
	}
	if err := tell("ok", "nothing of a shard without messages"); err != nil {
		return err
	}
	// A cursor that nobody has must not be taken for the first page, or for the end.
	_, err = in.node.Store().Request(ctx, shard, from, store.WithCursor(bytes.Repeat([]byte{0x5a}, 32)))
	var refused *store.StoreError
	if !errors.As(err, &refused) {
		return fmt.Errorf("a cursor that is unknown: %w, where an error was due", err)
	}
	if err := tell("ok", fmt.Sprintf("a cursor that is unknown: %d", refused.Code)); err != nil {
		return err
	}
	return in.raw(ctx)
}

// A request that sets nothing that may be left out.
func (in *Interop) raw(ctx context.Context) error {
	info := in.node.Host().Peerstore().PeerInfo(in.store)
	request := &storepb.StoreQueryRequest{RequestId: "as it is", PubsubTopic: proto.String(in.topic)}
	answer, err := in.node.Store().RequestRaw(ctx, peer.AddrInfo{ID: info.ID, Addrs: info.Addrs}, request)
	if err != nil {
		return fmt.Errorf("a request of the topic alone: %w", err)
	}
	// Absent, it is backward by the specification: the last of them.
	every := in.wanted(func(*pb.WakuMessage) bool { return true })
	got := answer.Messages()
	if err := in.compare(got, every[len(every)-min(len(got), len(every)):], false); err != nil {
		return fmt.Errorf("a request of the topic alone: %w", err)
	}
	return tell("ok", fmt.Sprintf("a request of the topic alone: the last %d", len(got)))
}
