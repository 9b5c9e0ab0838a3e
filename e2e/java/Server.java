import java.io.ByteArrayInputStream;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.List;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/**
 * The server of the test, from the environment: SERVER is its URL, CA its PEM certificates, TOKEN
 * the user's token.
 */
final class Server {
    static final String URL = System.getenv("SERVER");
    static final String AUTHORIZATION = "Bearer " + System.getenv("TOKEN");

    private Server() {}

    static X509TrustManager trust() throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        byte[] pem = System.getenv("CA").getBytes(StandardCharsets.US_ASCII);
        store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(pem)));
        TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(store);
        return (X509TrustManager) factory.getTrustManagers()[0];
    }

    static SSLContext tls(TrustManager trust) throws GeneralSecurityException {
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, new TrustManager[] {trust}, null);
        return context;
    }

    /**
     * The path and query of an exec, as the official client writes them: with stderr=true also for
     * a terminal.
     */
    static String execPath(String namespace, String pod, boolean tty, List<String> command) {
        StringBuilder path = new StringBuilder("/api/v1/namespaces/" + namespace + "/pods/" + pod + "/exec");
        path.append("?stdin=true&stdout=true&stderr=true&tty=").append(tty);
        for (String word : command) {
            path.append("&command=").append(URLEncoder.encode(word, StandardCharsets.UTF_8));
        }
        return path.toString();
    }
}
