// The AWS SDK for Go with its defaults: creates a stream, writes to it, reads it back, describes and deletes it.
// Its settings come from the environment, as docs/sandbox.md exports them.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println("well")
}

func run(ctx context.Context) error {
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	client := kinesis.NewFromConfig(settings)
	name := aws.String("go")
	began := time.Now()

	mode := &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}
	if _, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: name, StreamModeDetails: mode}); err != nil {
		return err
	}
	waiter := kinesis.NewStreamExistsWaiter(client, func(o *kinesis.StreamExistsWaiterOptions) { o.MinDelay = time.Second })
	if err := waiter.Wait(ctx, &kinesis.DescribeStreamInput{StreamName: name}, 30*time.Second); err != nil {
		return err
	}

	var records []types.PutRecordsRequestEntry
	for number := range 500 {
		records = append(records, types.PutRecordsRequestEntry{
			Data:         fmt.Appendf(nil, "record %d", number),
			PartitionKey: aws.String(fmt.Sprintf("key ü %d", number)),
		})
	}
	put, err := client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: name, Records: records})
	if err != nil {
		return err
	}
	if *put.FailedRecordCount != 0 || len(put.Records) != 500 {
		return fmt.Errorf("%d of %d records failed", *put.FailedRecordCount, len(put.Records))
	}

	filter := &types.ShardFilter{Type: types.ShardFilterTypeAtTrimHorizon}
	shards, err := client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: name, ShardFilter: filter})
	if err != nil {
		return err
	}
	read := map[string]types.Record{}
	for _, shard := range shards.Shards {
		iterator, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
			StreamName: name, ShardId: shard.ShardId, ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: &began,
		})
		if err != nil {
			return err
		}
		answer, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator.ShardIterator})
		if err != nil {
			return err
		}
		for _, record := range answer.Records {
			read[*record.PartitionKey] = record
		}
	}
	found := read["key ü 42"]
	if len(shards.Shards) != 4 || len(read) != 500 || string(found.Data) != "record 42" {
		return fmt.Errorf("%d shards, %d records, %q", len(shards.Shards), len(read), found.Data)
	}
	if found.ApproximateArrivalTimestamp.Before(began.Truncate(time.Millisecond)) || found.ApproximateArrivalTimestamp.After(time.Now()) {
		return fmt.Errorf("a record arrived at %s", found.ApproximateArrivalTimestamp)
	}

	summary, err := client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: name})
	if err != nil {
		return err
	}
	if status := summary.StreamDescriptionSummary.StreamStatus; status != types.StreamStatusActive {
		return fmt.Errorf("the stream is %s", status)
	}
	var missing *types.ResourceNotFoundException
	_, err = client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("none")})
	if !errors.As(err, &missing) {
		return fmt.Errorf("expected ResourceNotFoundException: %w", err)
	}
	_, err = client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: name})
	return err
}
