import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The channels of a remote command. Output is printed; the Status is mapped to an exit code. */
final class Channels {
    static final int STDIN = 0;
    static final int STDOUT = 1;
    static final int STDERR = 2;
    static final int STATUS = 3;
    static final int RESIZE = 4;
    static final int CLOSE = 255; // v5: half-closes the channel that the next byte names

    static final String V5 = "v5.channel.k8s.io";
    static final String V4 = "v4.channel.k8s.io";

    /**
     * Exit codes of a program: the session ended without an exit code; the server refused the
     * session.
     */
    static final int NO_CODE = 90;
    static final int REFUSED = 91;

    private static final Pattern SUCCESS = Pattern.compile("\"status\":\"Success\"");
    private static final Pattern EXIT_CODE = Pattern.compile("\"reason\":\"ExitCode\",\"message\":\"(\\d+)\"");

    private Channels() {}

    static void print(int channel, byte[] data) {
        PrintStream to = channel == STDOUT ? System.out : System.err;
        if (channel != STDOUT && channel != STDERR) {
            throw new IllegalStateException("received data on unexpected channel " + channel);
        }
        to.write(data, 0, data.length);
        to.flush();
    }

    static int exitCode(byte[] status) {
        String json = new String(status, StandardCharsets.UTF_8);
        Matcher code = EXIT_CODE.matcher(json);
        if (code.find()) {
            return Integer.parseInt(code.group(1));
        }
        if (SUCCESS.matcher(json).find()) {
            return 0;
        }
        System.err.println("no exit code: " + json);
        return NO_CODE;
    }
}
