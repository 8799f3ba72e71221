package clients;

import com.google.common.util.concurrent.ListenableFuture;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.StreamMode;
import software.amazon.kinesis.producer.KinesisProducer;
import software.amazon.kinesis.producer.KinesisProducerConfiguration;
import software.amazon.kinesis.producer.UserRecordResult;

/**
 * The Kinesis Producer Library with its own native process, which only supports TLS: 20,000 records, all of which must be
 * stored. Arguments: the https endpoint and the file with its authority's certificate.
 */
public final class Producer {
    private static final int RECORDS = 20_000;

    public static void main(String[] arguments) throws Exception {
        URI endpoint = URI.create(arguments[0]);
        String name = "producer";
        try (KinesisClient kinesis = KinesisClient.create()) {
            kinesis.createStream(r -> r.streamName(name).streamModeDetails(m -> m.streamMode(StreamMode.ON_DEMAND)));
            kinesis.waiter().waitUntilStreamExists(r -> r.streamName(name));
            KinesisProducerConfiguration configuration = new KinesisProducerConfiguration()
                    .setRegion("us-east-1")
                    .setKinesisEndpoint(endpoint.getHost())
                    .setKinesisPort(endpoint.getPort())
                    .setStsEndpoint(endpoint.getHost())
                    .setStsPort(endpoint.getPort())
                    .setCloudwatchEndpoint(endpoint.getHost())
                    .setCloudwatchPort(endpoint.getPort())
                    .setCaCertFile(arguments[1])
                    .setTempDirectory(System.getProperty("user.dir"))
                    .setMetricsLevel("none")
                    .setAggregationEnabled(false)
                    .setRecordTtl(60_000);
            KinesisProducer producer = new KinesisProducer(configuration);
            List<ListenableFuture<UserRecordResult>> sent = new ArrayList<>();
            for (int number = 0; number < RECORDS; number++) {
                ByteBuffer data = ByteBuffer.wrap(("record " + number).getBytes(StandardCharsets.UTF_8));
                sent.add(producer.addUserRecord(name, "key " + number, data));
            }
            producer.flushSync();
            int stored = 0;
            for (ListenableFuture<UserRecordResult> record : sent) {
                stored += record.get().isSuccessful() ? 1 : 0;
            }
            producer.destroy();
            if (stored != RECORDS) {
                throw new AssertionError(stored + " of " + RECORDS + " records were stored");
            }
            kinesis.deleteStream(r -> r.streamName(name));
        }
        System.out.println("well");
        System.exit(0);
    }
}
