package clients;

import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletionException;
import java.util.stream.IntStream;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.PutRecordsRequestEntry;
import software.amazon.awssdk.services.kinesis.model.Record;
import software.amazon.awssdk.services.kinesis.model.ResourceNotFoundException;
import software.amazon.awssdk.services.kinesis.model.Shard;
import software.amazon.awssdk.services.kinesis.model.ShardFilterType;
import software.amazon.awssdk.services.kinesis.model.ShardIteratorType;
import software.amazon.awssdk.services.kinesis.model.StreamMode;
import software.amazon.awssdk.services.kinesis.model.StreamStatus;

/**
 * The AWS SDK for Java with its defaults, which are CBOR and, in the asynchronous client, HTTP/2: creates a stream, writes to
 * it, reads it back, describes and deletes it. Settings come from the environment and from system properties.
 */
public final class Sdk {
    public static void main(String[] arguments) {
        try (KinesisClient kinesis = KinesisClient.create()) {
            inTurn(kinesis);
        }
        try (KinesisAsyncClient kinesis = KinesisAsyncClient.create()) {
            atOnce(kinesis);
        }
        System.out.println("well");
        System.exit(0);
    }

    private static List<PutRecordsRequestEntry> records(int count) {
        return IntStream.range(0, count)
                .mapToObj(number -> PutRecordsRequestEntry.builder()
                        .data(SdkBytes.fromUtf8String("record " + number))
                        .partitionKey("key ü " + number)
                        .build())
                .toList();
    }

    private static void inTurn(KinesisClient kinesis) {
        String name = "java";
        Instant began = Instant.now();
        kinesis.createStream(r -> r.streamName(name).streamModeDetails(m -> m.streamMode(StreamMode.ON_DEMAND)));
        kinesis.waiter().waitUntilStreamExists(r -> r.streamName(name));

        var put = kinesis.putRecords(r -> r.streamName(name).records(records(500)));
        check(put.failedRecordCount() == 0 && put.records().size() == 500, put);
        // 0xff is not valid text in any encoding.
        byte[] bytes = {0, (byte) 0xff, 1};
        kinesis.putRecord(r -> r.streamName(name).partitionKey("bytes").data(SdkBytes.fromByteArray(bytes)));

        List<Shard> shards = kinesis.listShards(r -> r.streamName(name)
                        .shardFilter(f -> f.type(ShardFilterType.AT_TIMESTAMP).timestamp(Instant.now())))
                .shards();
        check(shards.size() == 4, shards);
        Map<String, Record> read = new HashMap<>();
        for (Shard shard : shards) {
            var iterator = kinesis.getShardIterator(r -> r.streamName(name)
                    .shardId(shard.shardId())
                    .shardIteratorType(ShardIteratorType.AT_TIMESTAMP)
                    .timestamp(began));
            var answer = kinesis.getRecords(r -> r.shardIterator(iterator.shardIterator()));
            answer.records().forEach(record -> read.put(record.partitionKey(), record));
        }
        check(read.size() == 501, read.size());
        Record found = read.get("key ü 42");
        check(found.data().asString(StandardCharsets.UTF_8).equals("record 42"), found);
        check(java.util.Arrays.equals(read.get("bytes").data().asByteArray(), bytes), read.get("bytes"));
        Instant arrived = found.approximateArrivalTimestamp();
        check(!arrived.isBefore(began.minusMillis(1)) && !arrived.isAfter(Instant.now()), arrived);

        var summary = kinesis.describeStreamSummary(r -> r.streamName(name)).streamDescriptionSummary();
        check(summary.streamStatus() == StreamStatus.ACTIVE, summary);
        check(Math.abs(summary.streamCreationTimestamp().getEpochSecond() - began.getEpochSecond()) < 60, summary);
        try {
            kinesis.describeStreamSummary(r -> r.streamName("none"));
            throw new AssertionError("DescribeStream succeeded for a stream that does not exist");
        } catch (ResourceNotFoundException expected) {
            check(expected.getMessage().contains("Stream none under account"), expected);
        }
        kinesis.deleteStream(r -> r.streamName(name));
    }

    private static void atOnce(KinesisAsyncClient kinesis) {
        String name = "java-async";
        kinesis.createStream(r -> r.streamName(name).shardCount(2)).join();
        kinesis.waiter().waitUntilStreamExists(r -> r.streamName(name)).join();
        List<java.util.concurrent.CompletableFuture<Integer>> puts = new ArrayList<>();
        for (int call = 0; call < 10; call++) {
            var put = kinesis.putRecords(r -> r.streamName(name).records(records(100)));
            puts.add(put.thenApply(answer -> answer.failedRecordCount()));
        }
        int failed = puts.stream().mapToInt(put -> put.join()).sum();
        check(failed == 0, failed);
        try {
            kinesis.describeStreamSummary(r -> r.streamName("none")).join();
            throw new AssertionError("DescribeStream succeeded for a stream that does not exist");
        } catch (CompletionException expected) {
            check(expected.getCause() instanceof ResourceNotFoundException, expected);
        }
        kinesis.deleteStream(r -> r.streamName(name)).join();
    }

    private static void check(boolean holds, Object seen) {
        if (!holds) {
            throw new AssertionError(String.valueOf(seen));
        }
    }
}
