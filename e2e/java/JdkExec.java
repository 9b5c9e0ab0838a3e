import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;

/**
 * JdkExec KIND NAMESPACE POD COMMAND... runs exec with the JDK's WebSocket, which sends fragments.
 *
 * <p>Standard input is sent in messages of several fragments (RFC 6455, section 5.4); KIND is text
 * or binary. The exit code is the command's; see Channels for the others.
 */
final class JdkExec implements WebSocket.Listener {
    /**
     * The first fragment of a message contains only the channel; FRAGMENTS more have up to FRAGMENT
     * characters or bytes.
     */
    private static final int FRAGMENTS = 7;
    private static final int FRAGMENT = 10_001;

    private final CompletableFuture<Void> ended = new CompletableFuture<>();
    private final ByteArrayOutputStream message = new ByteArrayOutputStream();
    private volatile int code = Channels.NO_CODE;

    private JdkExec() {}

    @Override
    public CompletionStage<?> onBinary(WebSocket socket, ByteBuffer data, boolean last) {
        byte[] piece = new byte[data.remaining()];
        data.get(piece);
        message.writeBytes(piece);
        if (last) {
            byte[] whole = message.toByteArray();
            message.reset();
            received(whole[0], Arrays.copyOfRange(whole, 1, whole.length));
        }
        socket.request(1);
        return null;
    }

    private void received(int channel, byte[] data) {
        if (channel == Channels.STATUS) {
            code = Channels.exitCode(data);
        } else {
            Channels.print(channel, data);
        }
    }

    @Override
    public CompletionStage<?> onClose(WebSocket socket, int status, String reason) {
        ended.complete(null);
        return null;
    }

    @Override
    public void onError(WebSocket socket, Throwable cause) {
        ended.completeExceptionally(cause);
    }

    private static void sendText(WebSocket socket, String text) {
        for (int at = 0; at < text.length(); ) {
            socket.sendText("\0", false).join();
            for (int i = 1; i <= FRAGMENTS; i++) {
                int end = Math.min(at + FRAGMENT, text.length());
                socket.sendText(text.substring(at, end), i == FRAGMENTS).join(); // in the last message, some fragments are empty
                at = end;
            }
        }
    }

    private static void sendBinary(WebSocket socket, byte[] data) {
        for (int at = 0; at < data.length; ) {
            socket.sendBinary(ByteBuffer.wrap(new byte[] {Channels.STDIN}), false).join();
            for (int i = 1; i <= FRAGMENTS; i++) {
                int end = Math.min(at + FRAGMENT, data.length);
                socket.sendBinary(ByteBuffer.wrap(data, at, end - at), i == FRAGMENTS).join();
                at = end;
            }
        }
    }

    public static void main(String[] args) throws Exception {
        List<String> words = List.of(args);
        String path = Server.execPath(words.get(1), words.get(2), false, words.subList(3, words.size()));
        JdkExec session = new JdkExec();
        WebSocket socket;
        try {
            socket = HttpClient.newBuilder().sslContext(Server.tls(Server.trust())).build().newWebSocketBuilder()
                .header("Authorization", Server.AUTHORIZATION)
                .subprotocols(Channels.V5, Channels.V4)
                .buildAsync(URI.create(Server.URL.replaceFirst("^http", "ws") + path), session).join();
        } catch (CompletionException e) {
            System.err.println("refused: " + e.getCause());
            System.exit(Channels.REFUSED);
            return;
        }
        byte[] stdin = System.in.readAllBytes();
        if (words.get(0).equals("text")) {
            sendText(socket, new String(stdin, StandardCharsets.UTF_8));
        } else {
            sendBinary(socket, stdin);
        }
        socket.sendBinary(ByteBuffer.wrap(new byte[] {(byte) Channels.CLOSE, Channels.STDIN}), true).join();
        try {
            session.ended.join();
        } catch (CompletionException e) {
            System.err.println("ended: " + e.getCause());
        }
        System.exit(session.code);
    }
}
