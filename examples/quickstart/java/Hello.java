// Sends ten messages through Gimbal, receives them, and sends one that a filter of `gimbal dev` refuses.
//
//   mvn -q compile exec:java                                                       with Gimbal on 127.0.0.1:9876
//   mvn -q compile exec:java -Dexec.args="HOST:PORT [TOPIC]"
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;

public class Hello {
    static final int COUNT = 10;

    public static void main(String[] args) throws Exception {
        String gimbal = args.length > 0 ? args[0] : "127.0.0.1:9876";
        String topic = args.length > 1 ? args[1] : "hello";

        DefaultMQProducer producer = new DefaultMQProducer("quickstart-p");
        producer.setNamesrvAddr(gimbal);
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer("quickstart-c");
        consumer.setNamesrvAddr(gimbal);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        try {
            producer.start();
            for (int i = 1; i <= COUNT; i++) {
                byte[] body = ("message " + i).getBytes(StandardCharsets.UTF_8);
                System.out.println("sent      message " + i + " to " + producer.send(new Message(topic, body)).getMessageQueue());
            }

            CountDownLatch missing = new CountDownLatch(COUNT);
            consumer.subscribe(topic, "*");
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                for (Message message : messages) {
                    System.out.println("received  " + new String(message.getBody(), StandardCharsets.UTF_8));
                    missing.countDown();
                }
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            consumer.start();
            if (!missing.await(1, TimeUnit.MINUTES)) {
                throw new IllegalStateException(missing.getCount() + " messages did not arrive within a minute");
            }

            try {
                producer.send(new Message("payroll", "let me in".getBytes(StandardCharsets.UTF_8)));
                System.out.println("sent      a message to payroll: no filter was against it");
            } catch (MQBrokerException refused) {
                System.out.println("refused   a message to payroll: " + refused.getResponseCode() + " " + refused.getErrorMessage());
            }
        } finally {
            consumer.shutdown();
            producer.shutdown();
        }
    }
}
