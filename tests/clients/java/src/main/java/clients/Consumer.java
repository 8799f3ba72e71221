package clients;

import java.net.URI;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.PutRecordsRequestEntry;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.common.KinesisClientUtil;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ProcessRecordsInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.metrics.NullMetricsFactory;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.processor.SingleStreamTracker;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

/**
 * The Kinesis Client Library with polling: reads every record of a stream from its beginning. Argument: an endpoint of
 * DynamoDB, where it stores its leases.
 */
public final class Consumer {
    private static final int RECORDS = 2_000;
    private static final Set<String> KEYS = ConcurrentHashMap.newKeySet();

    public static void main(String[] arguments) throws Exception {
        String name = "consumer";
        try (KinesisClient kinesis = KinesisClient.create()) {
            kinesis.createStream(r -> r.streamName(name).shardCount(4));
            kinesis.waiter().waitUntilStreamExists(r -> r.streamName(name));
            for (int first = 0; first < RECORDS; first += 500) {
                var records = IntStream.range(first, first + 500)
                        .mapToObj(number -> PutRecordsRequestEntry.builder()
                                .data(SdkBytes.fromUtf8String("record " + number))
                                .partitionKey("key " + number)
                                .build())
                        .toList();
                if (kinesis.putRecords(r -> r.streamName(name).records(records)).failedRecordCount() != 0) {
                    throw new AssertionError("a record was rejected");
                }
            }
            consume(name, URI.create(arguments[0]));
            kinesis.deleteStream(r -> r.streamName(name));
        }
        System.out.println("well");
        System.exit(0);
    }

    private static void consume(String name, URI leases) throws Exception {
        KinesisAsyncClient kinesis = KinesisClientUtil.createKinesisAsyncClient(KinesisAsyncClient.builder());
        DynamoDbAsyncClient dynamo = DynamoDbAsyncClient.builder().endpointOverride(leases).build();
        CloudWatchAsyncClient cloudWatch = CloudWatchAsyncClient.create();
        var start = InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON);
        ConfigsBuilder configs = new ConfigsBuilder(
                new SingleStreamTracker(name, start),
                "consumer-" + UUID.randomUUID(),
                kinesis,
                dynamo,
                cloudWatch,
                "worker",
                Processor::new);
        Scheduler scheduler = new Scheduler(
                configs.checkpointConfig(),
                configs.coordinatorConfig(),
                configs.leaseManagementConfig(),
                configs.lifecycleConfig(),
                configs.metricsConfig().metricsFactory(new NullMetricsFactory()),
                configs.processorConfig(),
                configs.retrievalConfig().retrievalSpecificConfig(new PollingConfig(name, kinesis)));
        Thread worker = new Thread(scheduler);
        worker.setDaemon(true);
        worker.start();
        long end = System.nanoTime() + TimeUnit.MINUTES.toNanos(4);
        while (KEYS.size() < RECORDS) {
            if (System.nanoTime() > end) {
                throw new AssertionError(KEYS.size() + " of " + RECORDS + " records were read");
            }
            Thread.sleep(200);
        }
        scheduler.startGracefulShutdown().get(60, TimeUnit.SECONDS);
    }

    private static final class Processor implements ShardRecordProcessor {
        @Override
        public void initialize(InitializationInput input) {}

        @Override
        public void processRecords(ProcessRecordsInput input) {
            input.records().forEach(record -> KEYS.add(record.partitionKey()));
        }

        @Override
        public void leaseLost(LeaseLostInput input) {}

        @Override
        public void shardEnded(ShardEndedInput input) {
            try {
                input.checkpointer().checkpoint();
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        }

        @Override
        public void shutdownRequested(ShutdownRequestedInput input) {
            try {
                input.checkpointer().checkpoint();
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        }
    }
}
