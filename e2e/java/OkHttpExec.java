import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeoutException;

/**
 * OkHttpExec SIZE NAMESPACE POD COMMAND... runs exec as the official Java client does.
 *
 * <p>SIZE is the size of the command's terminal as WIDTHxHEIGHT, or "-" for no terminal. Standard
 * input is sent to the command. The exit code is the command's; see Channels for the others.
 */
final class OkHttpExec extends OkHttpSession {
    private volatile int code = Channels.NO_CODE;

    private OkHttpExec() {}

    @Override
    void received(int channel, byte[] data) {
        if (channel != Channels.STATUS) {
            Channels.print(channel, data);
            return;
        }
        code = Channels.exitCode(data);
        try {
            end(Channels.STDIN); // the official client half-closes stdin a second time here
            close();
        } catch (Exception e) {
            e.printStackTrace();
        }
    }

    public static void main(String[] args) throws Exception {
        List<String> words = List.of(args);
        boolean tty = !words.get(0).equals("-");
        OkHttpExec session = new OkHttpExec();
        String protocol;
        try {
            protocol = session.open(Server.execPath(words.get(1), words.get(2), tty, words.subList(3, words.size())));
        } catch (ExecutionException | TimeoutException e) {
            System.err.println("refused: " + e);
            System.exit(Channels.REFUSED);
            return;
        }
        if (!protocol.equals(Channels.V5)) {
            throw new IllegalStateException("exec: the server chose subprotocol " + protocol);
        }
        if (tty) {
            String[] size = words.get(0).split("x");
            String resize = "{ \"width\": " + size[0] + ", \"height\": " + size[1] + " }\n";
            session.write(Channels.RESIZE, resize.getBytes(StandardCharsets.UTF_8));
        }
        session.write(Channels.STDIN, System.in.readAllBytes());
        if (!tty) { // the end of its input would end the terminal's session
            session.end(Channels.STDIN);
        }
        try {
            session.closed.get();
        } catch (ExecutionException e) {
            System.err.println("ended: " + e);
        }
        System.exit(session.code);
    }
}
