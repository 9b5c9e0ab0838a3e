import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeoutException;

/**
 * exec as the official Java client does it: OkHttpExec SIZE NAMESPACE POD COMMAND...
 *
 * <p>SIZE is that of the command's terminal, as WIDTHxHEIGHT, or "-" for none. Standard input is sent. Ends with the
 * command's exit code, see Channels for others.
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
            end(Channels.STDIN); // the official client says it again
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
            throw new IllegalStateException("exec has " + protocol);
        }
        if (tty) {
            String[] size = words.get(0).split("x");
            String resize = "{ \"width\": " + size[0] + ", \"height\": " + size[1] + " }\n";
            session.write(Channels.RESIZE, resize.getBytes(StandardCharsets.UTF_8));
        }
        session.write(Channels.STDIN, System.in.readAllBytes());
        if (!tty) { // a terminal would hang up
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
