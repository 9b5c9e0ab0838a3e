import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * OkHttpForward NAMESPACE POD PORT BYTES runs port-forward as the official Java client does.
 *
 * <p>In one session, it forwards port 9999, on which no process listens, and prints "refused" if
 * the error channel reports that. Then it sends BYTES bytes to PORT, which echoes them, and prints
 * whether the same bytes came back.
 */
final class OkHttpForward extends OkHttpSession {
    private static final int NOBODY = 9999;
    private static final long WAIT_SECONDS = 180;

    /** Received messages by channel: 2n is the data of the n-th port, 2n+1 its errors. */
    private final List<BlockingQueue<byte[]>> came = new ArrayList<>();

    private OkHttpForward(int ports) {
        for (int i = 0; i < 2 * ports; i++) {
            came.add(new LinkedBlockingQueue<>());
        }
    }

    @Override
    void received(int channel, byte[] data) {
        came.get(channel).add(data);
    }

    private byte[] next(int channel) throws InterruptedException {
        byte[] data = came.get(channel).poll(WAIT_SECONDS, TimeUnit.SECONDS);
        if (data == null) {
            throw new IllegalStateException("no message arrived on channel " + channel);
        }
        return data;
    }

    /** Checks that the first message of each channel is exactly the port, little endian. */
    private void expectPorts(int... ports) throws InterruptedException {
        for (int channel = 0; channel < 2 * ports.length; channel++) {
            int port = ports[channel / 2];
            byte[] want = {(byte) port, (byte) (port >> 8)};
            byte[] first = next(channel);
            if (!Arrays.equals(first, want)) {
                throw new IllegalStateException("channel " + channel + " does not begin with its port but with " + Arrays.toString(first));
            }
        }
    }

    private String echo(int channel, int size) throws Exception {
        byte[] sent = new byte[size];
        new Random(size).nextBytes(sent);
        write(channel, sent);
        byte[] back = new byte[size];
        for (int n = 0; n < size; ) {
            byte[] piece = next(channel);
            System.arraycopy(piece, 0, back, n, piece.length);
            n += piece.length;
        }
        return Arrays.equals(sent, back) ? "echo" : "not the echo";
    }

    public static void main(String[] args) throws Exception {
        int port = Integer.parseInt(args[2]);
        OkHttpForward session = new OkHttpForward(2);
        String path = "/api/v1/namespaces/" + args[0] + "/pods/" + args[1] + "/portforward?ports=" + NOBODY + "&ports=" + port;
        String protocol = session.open(path);
        if (!protocol.equals(Channels.V4)) {
            throw new IllegalStateException("port-forward: the server chose subprotocol " + protocol);
        }
        session.expectPorts(NOBODY, port);
        String error = new String(session.next(1), StandardCharsets.UTF_8);
        System.out.println(error.contains("connection refused") ? "refused" : error);
        System.out.println(session.echo(2, Integer.parseInt(args[3])));
        session.close();
        System.out.println("closed with " + session.closed.get(WAIT_SECONDS, TimeUnit.SECONDS));
        System.exit(0);
    }
}
