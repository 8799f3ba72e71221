// The AWS SDK for JavaScript with its defaults: creates a stream, writes to it, reads it back, describes and deletes it.
// Its settings come from the environment, as docs/sandbox.md exports them.

import assert from "node:assert/strict";
import {
  CreateStreamCommand,
  DeleteStreamCommand,
  DescribeStreamSummaryCommand,
  GetRecordsCommand,
  GetShardIteratorCommand,
  KinesisClient,
  ListShardsCommand,
  PutRecordCommand,
  PutRecordsCommand,
  waitUntilStreamExists,
} from "@aws-sdk/client-kinesis";

const kinesis = new KinesisClient({});
const StreamName = "javascript";
const began = Date.now();

await kinesis.send(new CreateStreamCommand({ StreamName, StreamModeDetails: { StreamMode: "ON_DEMAND" } }));
await waitUntilStreamExists({ client: kinesis, minDelay: 1, maxWaitTime: 30 }, { StreamName });

const text = (number) => new TextEncoder().encode(`record ${number}`);
const Records = Array.from({ length: 500 }, (_, number) => ({ Data: text(number), PartitionKey: `key ü ${number}` }));
const put = await kinesis.send(new PutRecordsCommand({ StreamName, Records }));
assert.equal(put.FailedRecordCount, 0);
assert.equal(put.Records.length, 500);
await kinesis.send(new PutRecordCommand({ StreamName, Data: text(500), PartitionKey: "single" }));

const { Shards } = await kinesis.send(new ListShardsCommand({ StreamName, ShardFilter: { Type: "AT_TRIM_HORIZON" } }));
assert.equal(Shards.length, 4);
const read = [];
for (const { ShardId } of Shards) {
  const { ShardIterator } = await kinesis.send(
    new GetShardIteratorCommand({ StreamName, ShardId, ShardIteratorType: "AT_TIMESTAMP", Timestamp: new Date(began) }),
  );
  const answer = await kinesis.send(new GetRecordsCommand({ ShardIterator }));
  read.push(...answer.Records);
}
assert.equal(read.length, 501);
const found = read.find(({ PartitionKey }) => PartitionKey === "key ü 42");
assert.equal(new TextDecoder().decode(found.Data), "record 42");
assert.ok(found.ApproximateArrivalTimestamp >= new Date(began) && found.ApproximateArrivalTimestamp <= new Date());

const { StreamDescriptionSummary } = await kinesis.send(new DescribeStreamSummaryCommand({ StreamName }));
assert.equal(StreamDescriptionSummary.StreamStatus, "ACTIVE");
assert.ok(Math.abs(StreamDescriptionSummary.StreamCreationTimestamp - began) < 60_000);
await assert.rejects(kinesis.send(new DescribeStreamSummaryCommand({ StreamName: "none" })), {
  name: "ResourceNotFoundException",
});
await kinesis.send(new DeleteStreamCommand({ StreamName }));
kinesis.destroy();
console.log("well");
