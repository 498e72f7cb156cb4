// A Java app without sessions of its own. Prints its port: java tests/apps/App.java
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.net.URLEncoder;
import static java.nio.charset.StandardCharsets.UTF_8;

public class App {
    static String field(HttpExchange exchange, String name) {
        String value = exchange.getRequestHeaders().getFirst("X-Session-" + name);
        return value == null ? "" : URLDecoder.decode(value, UTF_8);
    }

    // URLEncoder writes a space as +, which is a plus in a header.
    static void tell(HttpExchange exchange, String header, String value) {
        exchange.getResponseHeaders().set("X-Session-" + header, URLEncoder.encode(value, UTF_8).replace("+", "%20"));
    }

    static String answer(HttpExchange exchange) {
        switch (exchange.getRequestURI().getPath()) {
            case "/visit":
                String known = field(exchange, "Visits");
                int visits = (known.isEmpty() ? 0 : Integer.parseInt(known)) + 1;
                tell(exchange, "Set-Visits", String.valueOf(visits));
                return "visits=" + visits;
            case "/login":
                tell(exchange, "Principal", exchange.getRequestURI().getQuery().replaceFirst("^name=", ""));
                return "logged in";
            case "/logout":
                tell(exchange, "Principal", "");
                return "logged out";
            case "/store":
                tell(exchange, "Set-Note", "Zo\u00eb 100% + \"quoted\"; \u00fc");
                return "stored";
            case "/read":
                return field(exchange, "Note");
            case "/who":
                return field(exchange, "Principal");
            default:
                return "not found";
        }
    }

    public static void main(String[] args) throws IOException {
        int port = args.length > 0 ? Integer.parseInt(args[0]) : 0;
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.createContext("/", exchange -> {
            byte[] text = answer(exchange).getBytes(UTF_8);
            exchange.getResponseHeaders().set("Content-Type", "text/plain; charset=utf-8");
            exchange.sendResponseHeaders(200, text.length == 0 ? -1 : text.length);
            exchange.getResponseBody().write(text);
            exchange.close();
        });
        server.start();
        System.out.println(server.getAddress().getPort());
    }
}
